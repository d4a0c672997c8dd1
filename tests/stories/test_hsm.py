"""A device whose key pair is born in an HSM token becomes a verified enrollment."""
SERIAL = "hsm-0001"


def provision(station, token, *arguments, serial=SERIAL):
    return station.provision(station.profile("hsm-x509"), serial, "--token", token.uri, "--pin-file", token.pin_file,
                             *arguments)


def test_is_enrolled_and_verified(hsm_station, token):
    done = provision(hsm_station, token)
    assert done.status == 0, done
    result = done.json
    assert result["attestation"] == "x509"
    assert result["verified"] is True
    assert len(token.key_ids()) == 1
    attributes = token.pkcs11_tool("--list-objects", "--type", "privkey")
    assert "never extractable" in attributes and "always sensitive" in attributes and "local" in attributes
    document = hsm_station.service.enrollment(result["registrationId"])
    assert document["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["subjectName"].startswith(
        f"CN={result['registrationId']}")


def test_second_run_says_already_enrolled_and_makes_no_key(hsm_station, token):
    first = provision(hsm_station, token).json
    puts = hsm_station.emulator.requests("put")
    again = provision(hsm_station, token)
    assert again.status == 0, again
    assert again.json["state"] == "already enrolled"
    assert again.json["evidence"] == first["evidence"]
    assert hsm_station.emulator.requests("put") == puts
    assert len(token.key_ids()) == 1


def test_dry_run_touches_nothing(hsm_station, token):
    done = provision(hsm_station, token, "--dry-run")
    assert done.status == 0, done
    assert token.key_ids() == []
    assert hsm_station.emulator.changes() == []
    assert not hsm_station.journal.exists()
