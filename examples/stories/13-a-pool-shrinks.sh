#!/usr/bin/env bash
# A pool shrinks on a working day: 40 of 100 ports leave while 90 are in use, and everybody knows beforehand who gives up what.
#
# What lies idle goes first, then the seats of sites of low priority, and those of the clinic last (docs/overdraft.md, L5).
source "$(dirname "$0")/stage.sh"
start_master

say "The clinic, the lobby and the offices share 100 ports of two purchases."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hq" }, { name = "clinic" }, { name = "lobby" }, { name = "offices" }]
devices = [
    { name = "hq-box", platform = "gateway" },
    { name = "clinic-box", platform = "gateway" },
    { name = "lobby-box", platform = "gateway" },
    { name = "offices-box", platform = "gateway" },
]
pbxs = [
    { name = "hq", site = "hq", device = "hq-box", role = "master", software_version = "12" },
    { name = "clinic", site = "clinic", device = "clinic-box", role = "slave", software_version = "12" },
    { name = "lobby", site = "lobby", device = "lobby-box", role = "slave", software_version = "12" },
    { name = "offices", site = "offices", device = "offices-box", role = "slave", software_version = "12" },
]
TOML
run license-master project apply acme.toml
cat >bought.toml <<'TOML'
[[licenses]]
id = "ports-stay"
type = "PBX-Port12"
quantity = 60

[[licenses]]
id = "ports-leave"
type = "PBX-Port12"
quantity = 40
TOML
run license-master vendor keygen --out vendor.key
run license-master vendor issue --key vendor.key --project acme --from bought.toml --out bought.json
run license-master vendor trust vendor.key.pub
run license-master license import bought.json
run license-master device create --folder hq-box --name projects/acme/devices/hq-box
LICENSE_MASTER_DEVICE_TOKEN=$(license-master device token hq-box 2>/dev/null) run license-master device enroll --folder hq-box
run license-master license bind ports-stay ports-leave --to hq-box

say "Who gives up first, and who last."
cat >shares.toml <<'TOML'
rules = [
    { name = "clinic", site = "clinic", serves_emergencies = true },
    { name = "lobby", site = "lobby", priority = { port = -10 } },
]
TOML
run license-master allocation apply shares.toml --yes

say "A working day: 90 phones."
run phones projects/acme/pbxs/lobby 20
run phones projects/acme/pbxs/offices 50
run phones projects/acme/pbxs/clinic 20
expect "20 of 20"

say "40 ports are to leave. What would happen? Nobody guesses: the plan says who would lose what."
refused license-master plan release ports-leave
expect "30 seats at lobby, offices would be refused" "20 must go first" "10 must go first"
refused license-master license release ports-leave --no-wait --reason "sold"
expect "in use"

say "They leave all the same: thirty seats are taken away, the lobby's twenty first, the clinic's never."
run license-master license release ports-leave --revoke --yes --no-wait --reason "sold"
expect "30"
run phones projects/acme/pbxs/clinic 20
expect "20 of 20"
run phones projects/acme/pbxs/lobby 20
expect "0 of 20"
run phones projects/acme/pbxs/offices 50
expect "40 of 50"
run license-master device certify --folder hq-box
for _ in $(seq 100); do
    license-master pools --type PBX-Port >output 2>&1
    if grep -qE " 60 " output; then break; fi
    sleep 0.3
done
run license-master pool show port
expect "60 installed"
end_of_story "the pool shrank by 40 on a working day: those gave up who were to, and the clinic kept every phone."
