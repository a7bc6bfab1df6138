#!/usr/bin/env bash
# A site without a network to the master: every step is a file that somebody carries.
#
# The master never sees the device, the device never sees the master; signatures do what a line would (rule L2).
source "$(dirname "$0")/stage.sh"
start_master
mkdir stick

# on_the_ship COMMAND...: on the device; there is no master at that address.
on_the_ship() { run env LICENSE_MASTER_SERVER=127.0.0.1:1 "$@"; }

say "A ship at sea, and an office with the license master."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "office" }, { name = "ship" }]
devices = [{ name = "office-box", platform = "gateway" }, { name = "ship-box", platform = "gateway" }]
pbxs = [
    { name = "office", site = "office", device = "office-box", role = "master", software_version = "12" },
    { name = "ship", site = "ship", device = "ship-box", role = "slave", software_version = "12" },
]
TOML
run license-master project apply acme.toml
run license-master vendor keygen --out vendor.key
run license-master vendor issue --key vendor.key --project acme --out stick/bought.json --license ports=PBX-Port12:20
run license-master vendor show stick/bought.json --key vendor.key.pub
expect "verified: signed by key"
run license-master vendor trust vendor.key.pub
run license-master license import stick/bought.json

say "Enrolling. In the office: a token, told over the radio. On the ship: a key, and a request on the stick."
license-master device token ship-box >token 2>/dev/null
on_the_ship license-master device create --folder ship --name projects/acme/devices/ship-box
LICENSE_MASTER_DEVICE_TOKEN=$(cat token) on_the_ship license-master device enroll --folder ship --request-out stick/enrollment.json
run license-master device admit stick/enrollment.json --answer-out stick/answer.json
on_the_ship license-master device answer --folder ship stick/answer.json
expect "is enrolled"

say "Binding: the signed statement goes onto the stick."
run license-master license bind ports --to ship-box --binding-out stick
on_the_ship license-master device accept --folder ship stick/ports.binding.json
on_the_ship license-master device show --folder ship
expect "PBX-Port12"

say "Releasing: the request goes out, the certificate comes back."
run license-master license release ports --request-out stick --no-wait
expect "waits for the certificate of ship-box"
on_the_ship license-master device certify --folder ship stick/ports.release-request.json --out stick/ports.certificate.json

say "On the way somebody changes a letter in it: the master sees that, and nothing happens."
sed 's/"payload": "C/"payload": "D/' stick/ports.certificate.json >stick/changed.json
refused license-master license certify stick/changed.json
expect "forged or altered"
run license-master license list
expect "releasing"

say "The genuine one counts."
run license-master license certify stick/ports.certificate.json
expect "free in the project balance"

say "What the ship certified is over for it: it does not take the old statement back."
refused env LICENSE_MASTER_SERVER=127.0.0.1:1 license-master device accept --folder ship stick/ports.binding.json
expect "this device certified that itself"
end_of_story "A license went to sea and came back, carried by hand, and nobody could cheat."
