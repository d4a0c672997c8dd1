# The manual pages are sound roff.
mandoc -T lint -W warning man/*.[0-9]
