#!/usr/bin/env bash
# What a license may do over time: a service agreement paid with credits, an upgrade that it brings, and the gate before a
# release.
#
# Whatever is ordered stands in the project's ledger; what holds on a day is worked out from it (rules M1 to M6, Q1 to Q4).
source "$(dirname "$0")/stage.sh"
start_master

say "100 ports of V12, bound to the license master's device today."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
time_zone = "Europe/Berlin"
sites = [{ name = "headquarters" }, { name = "branch" }]
devices = [{ name = "hq-box", platform = "gateway" }, { name = "branch-box", platform = "gateway" }]
pbxs = [
    { name = "hq", site = "headquarters", device = "hq-box", role = "master", software_version = "12" },
    { name = "branch", site = "branch", device = "branch-box", role = "slave", software_version = "12" },
]
TOML
run license-master project apply acme.toml
run license-master vendor keygen --out vendor.key
run license-master vendor issue --key vendor.key --project acme --out bought.json --license ports=PBX-Port12:100
run license-master vendor trust vendor.key.pub --name innovaphone
run license-master license import bought.json
run license-master license bind ports --to hq-box

say "What would a year cost? The prices are the operator's own; a quote orders nothing (M4)."
cat >prices.toml <<'TOML'
[prices]
catalog = "innovaphone"
currency = "EUR"
credit = "1.00"

[values]
port = "100"
TOML
run license-master agreement extend ports --offer ssa --months 12 --quote prices.toml
expect "total: 1500 credits" "1500 credits are missing"

say "It is paid with credits; without them it is refused, and nothing has changed (M2)."
refused license-master agreement extend ports --offer ssa --months 12 --prices prices.toml
expect "credits short (M2)" "add 1500 credits or more"
run license-master credits add 2000 --reason "order 4711"
run license-master agreement extend ports --offer ssa --months 12 --prices prices.toml
expect "500 credits are left"
run license-master agreement list
expect "Software Service Agreement" "in force"

say "The vendor publishes V13. The branch runs it and gets nothing new: its licenses are V12 (B3)."
run license-master agreement publish 13 --on "$(TZ=Europe/Berlin date +%F)"
run phones projects/acme/pbxs/branch 10 13
expect "10 refused: VERSION_LIMIT"

say "A slip is taken back by an order of its own, with a reason; the ledger shows both."
run license-master credits add 20000
ORDER=$(awk 'NR == 1 { print $1 }' output)
run license-master agreement reverse "$ORDER" --reason "a zero too much"
expect "order $ORDER reversed: 20000 credits bought"

say "While the agreement runs the upgrade is free, and the pool has it at once (M1)."
run license-master agreement upgrade ports --to 13
expect "upgraded free of charge from version 12 to 13"
run phones projects/acme/pbxs/branch 10 13
expect "10 of 10 phones"

say "What ends within two years, and what will stop working then? Nothing: what runs goes on."
run license-master agreement endings --days 730
expect "everything that runs" "ssa"
license-master agreement calendar >ends.ics
run grep -c "BEGIN:VEVENT" ends.ics

say "Everything that was ordered, with its reason; the balance is its sum."
run license-master agreement ledger
expect "2000 credits bought" "500 credits in the balance"

say "Another customer has an Allworx server, delivered in 2010 with 7.0. May it go to 7.4? No, and the path that works (Q2)."
cat >shop.toml <<'TOML'
name = "shop"
catalog = "allworx"
sites = [{ name = "shop" }]
devices = [{ name = "shop-box", platform = "server" }]
pbxs = [{ name = "shop", site = "shop", device = "shop-box", role = "master", software_version = "7" }]
TOML
run license-master project apply shop.toml
export LICENSE_MASTER_PROJECT=shop
run license-master device register shop-box --product server --delivered 2010-05-01 --serial 0033-1107 --release 7.0
refused license-master device check-upgrade shop-box 7.4
expect "cannot leapfrog" "install 7.1, then buy a maintenance key (anytime), then install 7.4"

say "One year is enough, whenever it was last maintained: skipped years need not be bought (Q4)."
run license-master device install shop-box 7.1
refused license-master device install shop-box 7.4
expect "maintenance needed"
run license-master agreement extend shop-box --offer anytime --key M-2013-0001
run license-master device check-upgrade shop-box 7.4
expect "allowed"
run license-master device install shop-box 7.4
run license-master agreement rights
expect "7.4" "runs"

end_of_story "100 ports got V13 for 1,500 credits, and a server of 2010 found its way to 7.4."
