#!/usr/bin/env bash
# A trial is lent like any license. What would its end stop, and what does a purchase change?
#
# The ledger says what there is a right to; the estate has just that, from the same moment on (rules P1 to P6, P9).
source "$(dirname "$0")/stage.sh"
start_master

in_days() { "$PYTHON" -c "import datetime as d; print(d.datetime.now(d.timezone.utc).date() + d.timedelta(days=$1))"; }

say "A server for iSymphony 3, without any license."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "isymphony"
sites = [{ name = "office" }]
devices = [{ name = "office-box", platform = "server" }]
pbxs = [{ name = "office", site = "office", device = "office-box", role = "master", software_version = "3" }]
TOML
run license-master project apply acme.toml

say "A trial of 20 users: 14 full days (P1). It comes as licenses, which are bound like any other."
run license-master agreement trial isym user=20 --product isymphony --major 3 --key T1
run license-master license list
expect "isym-user" "isym-instance" "license isym" "use until"
run license-master license bind isym-user isym-instance --to office-box
run phones projects/acme/pbxs/office 15 3 --type user
expect "15 of 15"

say "What is left in 14 days, what in 15, if nothing is bought? The day of the key is not counted."
run license-master plan at "$(in_days 14)"
expect "● possible"
refused license-master plan at "$(in_days 15)"
expect "Trial of license isym ends on $(in_days 15)" "buy or renew license isym"

say "The purchase awaits its payment (P9). Once that is confirmed it takes the trial's place; nobody loses a seat (P2)."
cat >prices.toml <<'TOML'
[prices]
catalog = "isymphony"
currency = "USD"

[tiers.user]
20 = "100.00"
40 = "180.00"
TOML
run license-master agreement buy isymphony isym user=20 --major 3 --prices prices.toml
ORDER=$(awk 'NR == 1 { print $1 }' output)
run license-master agreement confirm "$ORDER" --key K1 --prices prices.toml
run license-master license list
expect_not "use until"
run license-master plan at "$(in_days 15)"
expect "● possible"

say "An upgrade names the new total, and counts at once (P6)."
run license-master agreement upgrade isym user=40 --prices prices.toml
ORDER=$(awk 'NR == 1 { print $1 }' output)
run phones projects/acme/pbxs/office 40 3 --type user
expect "20 of 40"
run license-master agreement confirm "$ORDER" --key K2 --prices prices.toml
run phones projects/acme/pbxs/office 40 3 --type user
expect "40 of 40"

say "Maintenance ends after a year: what runs goes on (P5). But the license is not for version 4 (P3)."
run license-master plan at "$(in_days 500)"
expect "● possible"
refused license-master plan upgrade --to 4
expect "isym-user"

end_of_story "a trial became a purchase without losing a seat, and 20 users became 40."
