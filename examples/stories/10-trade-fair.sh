#!/usr/bin/env bash
# The fair in Hanover needs 200 ports for a week: they are kept for it, and nobody loses a phone.
#
# A reserve keeps seats free for a site until a moment; what others hold stays, and what comes back goes to the reserve
# first (docs/fairness.md).
source "$(dirname "$0")/stage.sh"
start_master

say "Four sites share 500 ports."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hq" }, { name = "berlin" }, { name = "munich" }, { name = "fair" }]
devices = [
    { name = "hq-box", platform = "gateway" },
    { name = "berlin-box", platform = "gateway" },
    { name = "munich-box", platform = "gateway" },
    { name = "fair-box", platform = "gateway" },
]
pbxs = [
    { name = "hq", site = "hq", device = "hq-box", role = "master", software_version = "12" },
    { name = "berlin", site = "berlin", device = "berlin-box", role = "slave", software_version = "12" },
    { name = "munich", site = "munich", device = "munich-box", role = "slave", software_version = "12" },
    { name = "fair", site = "fair", device = "fair-box", role = "slave", software_version = "12" },
]
licenses = [{ id = "ports", type = "PBX-Port12", quantity = 500, device = "hq-box" }]
TOML
run license-master project apply acme.toml
run phones projects/acme/pbxs/berlin 220
expect "220 of 220"
run phones projects/acme/pbxs/munich 150
expect "150 of 150"

say "Twice the fair, by mistake: more than there is. Refused when it is written, with both rules."
cat >fair.toml <<'TOML'
rules = [
    { name = "fair", site = "fair", reserve = { port = 200 } },
    { name = "fair-again", site = "munich", reserve = { port = 400 } },
]
TOML
refused license-master allocation apply fair.toml --yes
expect "fair.toml:3" "600 port are reserved" "500 are installed" "rules[0]"

say "Who would gain and who would lose? 370 of 500 are in use; the other 130 would be the fair's."
in_seconds() { "$PYTHON" -c "import datetime as d; print((d.datetime.now(d.UTC) + d.timedelta(seconds=$1)).isoformat(timespec='seconds'))"; }
ends=$(in_seconds 604800)
run license-master allocation reserve fair port 200 --until "$ends" --dry-run
expect "berlin" "munich" "200 PBX-Port seats are to be kept free for their owners, 130 are free now"
run license-master allocation reserve fair port 200 --until "$ends"

say "Nobody lost a seat; nobody but the fair gets a new one."
run phones projects/acme/pbxs/berlin 221
expect "220 of 221" "RESERVED_FOR_OTHERS" "for site fair"
refused license-master explain berlin port one-more
expect "reserved for others"

say "Eighty phones in Berlin go home: the fair has its 200, from the first phone to the last."
run phones projects/acme/pbxs/berlin 140
run phones projects/acme/pbxs/fair 200
expect "200 of 200"
run phones projects/acme/pbxs/munich 160
expect "160 of 160"

say "The fair closes a day early: the rule is taken back, and Berlin gets what it wants again."
run phones projects/acme/pbxs/fair 0
run license-master allocation remove fair
run phones projects/acme/pbxs/berlin 300
expect "300 of 300"

say "A rule with an end needs nobody: this one holds for twenty seconds, then no more."
run phones projects/acme/pbxs/berlin 100
run license-master allocation reserve fair port 200 --until "$(in_seconds 20)"
until phones projects/acme/pbxs/berlin 300 | grep -q "300 of 300"; do sleep 1; done
run license-master allocation show
expect "fair"
end_of_story "200 ports were there for the fair, and no phone was cut off for them."
