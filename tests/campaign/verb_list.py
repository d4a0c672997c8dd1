"""What the grid of verbs runs: for each verb which of its operations meets a fate, what a rival does and when, and what must hold."""
import collections
import itertools
import json

from grid import CONFLICT, CONNECTIONS, FATES
from lib import batch
from lib.bulk import KEYS, multiply, symmetric

NOT_FOUND = 3
ID = "grid-0003"
NAMES = [f"grid-{number:04}" for number in range(12)]  # more than one bulk
PAGES = [f"many-{number:04}" for number in range(1100)]  # three of them
SHUFFLED = {PAGES[1], PAGES[-2], "many-0000-new", "many-2000-new"}
OTHERS = {"attestation": {"type": "symmetricKey", "symmetricKey": dict.fromkeys(KEYS, "A" * 43 + "=")}}
# Long enough that a rival mostly comes in between; what is judged holds whenever it comes.
HOLD = "delay=300"
HOLD_AFTER = "delay-after=300"
BEFORE = (None, None)


# -- What a rival does, by an operation that meets no fate -----------------------------------------------------------------


def put(scene, document):
    """The etag; None where it was created already."""
    status, answer = scene.service.put(ID, document)
    assert status in (200, 409), answer
    return answer["etag"] if status == 200 else None


def replace(scene):
    """The etag of what now stands there."""
    status, answer = scene.service.put(ID, symmetric(ID), {"If-Match": "*"})
    if status == 404:
        status, answer = scene.service.put(ID, symmetric(ID))
    assert status == 200, answer
    return answer["etag"]


def bulk(scene, mode, document):
    status, answer = scene.service.request("POST", "/enrollments", {"mode": mode, "enrollments": [document]})
    assert status == 200, answer
    return answer["isSuccessful"]


def overwrite(scene, document):
    """Whether it is there or not."""
    while not bulk(scene, "create", document) and not bulk(scene, "update", document):
        pass


def change(scene):
    overwrite(scene, symmetric(ID, optionalDeviceInformation={"by": "rival"}))


def shuffle(scene):
    """Rows that were shown already, and that are to come, go and come."""
    for name in SHUFFLED:
        if name in PAGES:
            scene.service.delete(name)
        else:
            scene.service.put(name, symmetric(name))


# -- The verbs -------------------------------------------------------------------------------------------------------------


class Verb:
    """`operation` meets the fate. `rivals`: kind -> what it does. `moments`: when -> after which request: (operation, number, 0 is
    the one that meets the fate), and the fault that holds muster meanwhile."""

    fates = FATES

    def cells(self, name):
        rivals = [("none", ""), *itertools.product(self.rivals, self.moments)]
        return [(name, *cell) for cell in itertools.product(self.fates, CONNECTIONS, rivals)]


class Create(Verb):
    operation = "put"
    rivals = {"same": lambda scene: overwrite(scene, symmetric(ID)), "other": lambda scene: overwrite(scene, {**symmetric(ID), **OTHERS})}
    moments = {"before": BEFORE, "written": (("put", 0), f"get:{HOLD}")}

    def prepare(self, scene):
        pass

    def run(self, scene):
        return scene.run("create", "--enrollment-id", ID, "--attestation-type", "symmetricKey", "--if-not-exists",
                         "--primary-key", KEYS["primaryKey"], "--secondary-key", KEYS["secondaryKey"])

    def problems(self, scene):
        """A rival that comes behind us overwrites what we created."""
        effects = [row["effect"] for row in scene.ours()]
        if len(effects) > 1 or set(effects) - {"create"}:
            yield f"effects {effects}"
        if scene.kind == "none" and not effects:
            yield "no effect"
        if scene.kind == "other" and scene.service.enrollment(ID)["etag"] != scene.rivals()[-1]["etag"]:
            yield "what the rival wrote is gone"
        if scene.status not in ([0, CONFLICT] if effects and scene.kind == "other" else [CONFLICT] if scene.kind == "other" else [0]):
            yield f"status {scene.status}"


class Update(Verb):
    operation = "put"
    rivals = {"same": lambda scene: overwrite(scene, symmetric(ID, provisioningStatus="disabled")), "other": change}
    moments = {"read": (("get", 1), f"get:{HOLD_AFTER}:count=1"), "written": (("put", 0), f"get:{HOLD}:skip=1")}

    def prepare(self, scene):
        put(scene, symmetric(ID))

    def run(self, scene):
        return scene.run("update", "--enrollment-id", ID, "--provisioning-status", "disabled")

    def problems(self, scene):
        found, ours = scene.service.enrollment(ID), scene.ours()
        is_last = ours and scene.changes[-1] == ours[-1]
        if len(ours) > 1 or (scene.kind == "none" and not ours):
            yield f"{len(ours)} effects"
        if scene.kind == "other" and "optionalDeviceInformation" not in found:
            yield "what the rival wrote is gone"
        if (is_last or (scene.status == 0 and scene.kind == "same")) and found["provisioningStatus"] != "disabled":
            yield "it was not updated"
        if scene.status not in ([0] if scene.kind == "none" else [0, CONFLICT]) or (scene.status == 0 and scene.kind == "other" and not ours):
            yield f"status {scene.status}"


class Delete(Verb):
    operation = "delete"
    rivals = {"same": lambda scene: bulk(scene, "delete", {"registrationId": ID}), "other": change}
    moments = {"before": BEFORE, "written": (("delete", 0), f"get:{HOLD}")}

    def prepare(self, scene):
        scene.etag = put(scene, symmetric(ID))

    def run(self, scene):
        return scene.run("delete", "--enrollment-id", ID, "--etag", scene.etag)

    def problems(self, scene):
        found, ours = scene.service.enrollment(ID), scene.ours()
        if len(ours) > 1 or (scene.kind == "none" and not ours):
            yield f"{len(ours)} effects"
        if scene.kind == "other" and (found is None or found["etag"] != scene.rivals()[-1]["etag"]):
            yield "what the rival wrote is gone"
        if scene.kind != "other" and found is not None:
            yield "it is still there"
        if scene.status not in {"none": [0], "same": [0, NOT_FOUND], "other": [0, CONFLICT] if ours else [CONFLICT]}[scene.kind]:
            yield f"status {scene.status}"


class DeleteAnything(Delete):
    """Without an etag: what stands there when the deletion is sent, and nothing that came since, also when the answer is lost. Of what
    is sent twice on the way nobody could say that."""

    fates = [fate for fate in FATES if not fate.startswith(("status=429", "replay"))]
    moments = {"written": Delete.moments["written"]}

    def prepare(self, scene):
        scene.desk.restart("--clock-offset", "-600")
        super().prepare(scene)

    def run(self, scene):
        return scene.run("delete", "--enrollment-id", ID)


class Import(Verb):
    """Of its rows a rival creates one, without overwriting: where it comes too late, it leaves nothing."""

    operation = "bulk"
    fates = [*FATES, "partial=3"]
    rivals = {"same": lambda scene: put(scene, symmetric(ID)), "other": lambda scene: put(scene, {**symmetric(ID), **OTHERS})}
    moments = {"before": BEFORE, "written": (("bulk", 0), f"get:{HOLD}:count=2")}

    def prepare(self, scene):
        scene.file = scene.station.home / "rows.jsonl"
        scene.file.write_text("".join(json.dumps(symmetric(name)) + "\n" for name in NAMES))

    def run(self, scene):
        return scene.run("import", scene.file)

    def problems(self, scene):
        rivals = scene.rivals()
        effects = collections.Counter((row["id"], row["effect"]) for row in scene.ours())
        if effects != {(name, "create"): 1 for name in NAMES if not rivals or name != ID}:
            yield f"effects {effects}"
        if sorted(row["registrationId"] for row in scene.service.enrollments()) != NAMES:
            yield "not all of them are enrolled"
        if rivals and scene.service.enrollment(ID)["etag"] != rivals[0]["etag"]:
            yield "what the rival wrote is gone"
        yield from self.problems_of_status(scene, rivals and scene.kind == "other")

    def problems_of_status(self, scene, is_conflict):
        if scene.status != (CONFLICT if is_conflict else 0):
            yield f"status {scene.status}"


class DeleteMany(Verb):
    """The deletion of its rows, without etags. A rival changes one of them, or makes it anew."""

    operation = "bulk"
    fates = [*DeleteAnything.fates, "partial=3"]
    rivals = {"other": replace}
    moments = {"written": (("bulk", 0), f"get:{HOLD}:count=2")}

    def prepare(self, scene):
        scene.desk.restart("--clock-offset", "-600")
        for name in NAMES:
            assert scene.service.put(name, symmetric(name))[0] == 200
        scene.file = scene.station.home / "rows.csv"
        scene.file.write_text("registrationId\n" + "".join(f"{name}\n" for name in NAMES))

    def run(self, scene):
        return scene.run("import", scene.file, "--mode", "delete")

    def problems(self, scene):
        rivals = scene.rivals()
        effects = collections.Counter((row["id"], row["effect"]) for row in scene.ours())
        wanted = {(name, "delete"): 1 for name in NAMES}
        is_deleted = (ID, "delete") in effects
        if effects != wanted and not (rivals and effects == {row: 1 for row in wanted if row[0] != ID}):
            yield f"effects {effects}"
        left = {row["registrationId"]: row["etag"] for row in scene.service.enrollments()}
        if left != ({ID: rivals[-1]["etag"]} if rivals else {}):
            yield f"left: {left}"
        if scene.status not in ([0, CONFLICT] if is_deleted and rivals else [CONFLICT] if rivals else [0]):
            yield f"status {scene.status}"


class Manifest(Import):
    """The same as a batch of devices with derived keys, whose keys the rival does not know."""

    rivals = {"other": Import.rivals["other"]}

    def prepare(self, scene):
        scene.profile = scene.station.profile("derived-key", {"verify": "none"})
        scene.file = batch.manifest(scene.station, NAMES)

    def run(self, scene):
        return batch.provision(scene.station, scene.file, profile=scene.profile)

    def problems_of_status(self, scene, is_conflict):
        refused = [row["registrationId"] for row in batch.exported(scene.station) if row["state"] != "released"]
        if refused != ([ID] if is_conflict else []):
            yield f"not released: {refused}"
        if bool(scene.status) != bool(is_conflict):
            yield f"status {scene.status}"


class List(Verb):
    operation = "query"
    rivals = {"other": shuffle}
    moments = {"read": (("query", 2), f"query:{HOLD_AFTER}")}

    def prepare(self, scene):
        scene.service.put("many-model", symmetric("many-model"))
        multiply(scene.desk, "many-model", PAGES)
        scene.service.delete("many-model")

    def run(self, scene):
        return scene.run("list", "-o", "jsonl")

    def rows(self, scene):
        return scene.runs[-1].stdout

    def problems(self, scene):
        """What changed meanwhile may be there or not; all else once."""
        if scene.status != 0:
            yield f"status {scene.status}"
            return
        counts = collections.Counter(json.loads(line)["registrationId"] for line in self.rows(scene).splitlines())
        changed = SHUFFLED if scene.rival else set()
        if max(counts.values(), default=0) > 1:
            yield "rows come twice"
        if counts.keys() - changed != set(PAGES) - changed:
            yield f"{len(counts)} rows of {len(PAGES)}"


class Export(List):
    def run(self, scene):
        scene.file = scene.station.home / f"rows-{len(scene.runs)}.jsonl"
        done = scene.run("export", scene.file)
        assert scene.file.exists() == (done.status == 0), done
        return done

    def rows(self, scene):
        return scene.file.read_text()


VERBS = {"create": Create(), "update": Update(), "delete": Delete(), "delete-anything": DeleteAnything(), "import": Import(), "delete-many": DeleteMany(), "manifest": Manifest(), "list": List(),
         "export": Export()}
CELLS = [cell for name, verb in VERBS.items() for cell in verb.cells(name)]
