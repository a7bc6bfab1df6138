# An operator's year: the tasks of docs/operations.md, typed one after the other in an empty folder, with what was installed
# from wheels alone. `## Title` says which task; `refused` stands before what has to end with exit code 1.
# LICENSE_MASTER_LISTEN, _METRICS_LISTEN and _SERVER say where the master is. For any POSIX shell.
set -eu
export LICENSE_MASTER_PROFILES=$PWD/profiles.toml LICENSE_MASTER_DATABASE_URL=sqlite:///$PWD/license-master.db

refused() {
    if "$@"; then echo "this should have been refused: $*" >&2; exit 3; else [ $? = 1 ] || exit 4; fi
}
as() { # NAME COMMAND...: the command as this operator
    name=$1; shift
    env LICENSE_MASTER_TLS_CERTIFICATE_FILE="$PWD/$name/$name.crt" LICENSE_MASTER_TLS_KEY_FILE="$PWD/$name/$name.key" "$@"
}
holds() { # PBX SECONDS USER...: a PBX that has a port for each of these for so long, then stops as for a reboot
    python "$HERE/holds.py" "$@"
}
end_master() { kill "$MASTER"; wait "$MASTER" || true; }
trap 'kill "$MASTER" 2>/dev/null || true; wait' EXIT
MASTER=

license-master vendor --help > help
license-master device --help >> help

## Certificates
license-master pki init
license-master pki issue server licenses.bank.example 192.0.2.7 localhost 127.0.0.1 --out tls
license-master pki issue operator anna --out anna
license-master pki issue operator bob --out bob
license-master pki issue metrics prometheus --out prometheus
license-master db upgrade --create
env LICENSE_MASTER_TLS_CA_FILE=tls/ca.crt LICENSE_MASTER_TLS_CERTIFICATE_FILE=tls/server.crt LICENSE_MASTER_TLS_KEY_FILE=tls/server.key \
    LICENSE_MASTER_TLS_REVOCATIONS_FILE="$PWD/pki/revoked.crl" LICENSE_MASTER_COOLING_OFF_SECONDS=1 LICENSE_MASTER_RELEASE_INTERVAL_SECONDS=0.2 \
    license-master serve 2> master.log &
MASTER=$!
license-master profile set bank --server "$LICENSE_MASTER_SERVER" --project acme --tls-ca anna/ca.crt --tls-certificate anna/anna.crt --tls-key anna/anna.key
license-master profile use bank
license-master health --wait --profile bank
cat > acme.toml <<'END'
name = "acme"
catalog = "innovaphone"
time_zone = "UTC"
lease = { ttl_seconds = 20, grace_seconds = 5, renew_every_seconds = 5 }
sites = [{ name = "hanover" }, { name = "kiel" }, { name = "emden" }]
devices = [
  { name = "hanover-box", platform = "gateway" }, { name = "kiel-box", platform = "gateway" },
  { name = "emden-box", platform = "gateway" }, { name = "ship-box", platform = "gateway" }, { name = "dead-box", platform = "gateway" },
]
pbxs = [
  { name = "hanover", site = "hanover", device = "hanover-box", role = "master", software_version = "12r1" },
  { name = "kiel", site = "kiel", device = "kiel-box", role = "slave", software_version = "12r1" },
  { name = "emden", site = "emden", device = "emden-box", role = "slave", software_version = "7" },
  { name = "hq-2", site = "hanover", device = "ship-box", role = "standby", standby_for = "hanover", software_version = "12r1" },
  { name = "spare", site = "kiel", device = "dead-box", role = "slave", software_version = "12r1" },
]
END
license-master project check acme.toml --offline
license-master project apply acme.toml --dry-run
license-master project apply acme.toml --yes
license-master project show > shown.toml
license-master project apply shown.toml --dry-run
license-master status --profile bank
license-master pki request pbx projects/acme/pbxs/kiel --out site
license-master pki token pbx projects/acme/pbxs/kiel > token
LICENSE_MASTER_PKI_TOKEN=$(head -1 token) license-master pki enrol --csr site/kiel.csr --out answer/kiel
cp answer/kiel/kiel.crt answer/kiel/ca.crt site/
printf 'projects/acme/pbxs/hanover\nprojects/acme/pbxs/spare\n' > names
license-master pki token pbx --file names --hours 72 > tokens
license-master pki renew anna/anna.crt
license-master pki show

## Trust a vendor and import
license-master vendor keygen --out innovaphone.key
license-master vendor issue --key innovaphone.key --project acme --out bought.json --license ports=PBX-Port12:30 --license 'bri=Relay BRIs:2' --license ports-kiel=PBX-Port12:12
license-master vendor show bought.json --key innovaphone.key.pub
refused license-master license import bought.json
license-master vendor trust innovaphone.key.pub --name innovaphone
license-master license import bought.json
license-master license import bought.json

## Enrol a device
for box in hanover-box kiel-box; do
    license-master device token "$box" | head -1 > device-token
    license-master device create --folder "$box" --name "projects/acme/devices/$box"
    LICENSE_MASTER_DEVICE_TOKEN=$(cat device-token) license-master device enroll --folder "$box"
done
license-master device list
refused license-master device enroll --folder hanover-box --token wrong

## Bind
license-master license list --state free
license-master license bind ports bri --to hanover-box --dry-run
license-master license bind ports bri --to hanover-box
license-master license bind ports-kiel --to dead-box
license-master pools
license-master explain kiel port user-1
refused license-master explain spare port user-1 --software 13r1

## Release what is in use
holds kiel 1 $(seq 1 24)
refused license-master license release ports
license-master seats --pbx kiel --limit 3
license-master license release ports --drain --wait --timeout 1 || true
license-master license list --state releasing
license-master license cancel ports
refused license-master license release ports --force
license-master leases
license-master report

## Release
refused license-master license release bri
license-master license bind ports --to hanover-box || true
license-master license release ports --revoke --yes --reason "upgrade to V12" --no-wait
holds kiel 1
license-master device certify --folder hanover-box
license-master license list

## Rebind between sites
license-master vendor issue --key innovaphone.key --project acme --out more.json --license ports-b=PBX-Port12:30
license-master license import more.json
license-master license bind ports-b --to hanover-box
license-master license rebind ports-b --to kiel-box --drain --reason "sales moves to Kiel" --no-wait
license-master device certify --folder hanover-box
until license-master license list --json | grep -q '"device": "kiel-box"'; do sleep 0.2; done
license-master device accept --folder kiel-box

## End the lease of a dead site
holds kiel 0 user-1
license-master leases end kiel --reason "site closed, box scrapped" --dry-run
refused license-master leases end kiel --reason "site closed, box scrapped"
license-master leases end kiel --reason "site closed, box scrapped" --yes
refused license-master leases end kiel --reason "once more" --yes

## Lend seats for days
refused license-master loan open kiel port 1 --days 30 --reason "no policy yet" --dry-run
refused license-master loan open kiel port 1 --days 30 --reason "no policy yet"
license-master loan list
refused license-master loan return kiel port --keep 0 --reason "nothing is borrowed" --yes

## See who waits
license-master waiting --type port
license-master waiting drop kiel --reason "phones are being replaced" --yes

## Divide a pool between sites
license-master allocation example > shares.toml
refused license-master allocation apply shares.toml --dry-run
echo 'rules = [{ name = "kiel", site = "kiel", weight = { port = 2 } }]' > shares.toml
license-master allocation apply shares.toml --reason "the fair in March" --yes
refused license-master allocation reserve kiel port 1 --until 2037-03-15
refused license-master pool show port
license-master allocation remove kiel --reason "the fair is over" --yes
license-master allocation queue PBX-Port 500 --express 2 --patience 900
license-master allocation overdraft port 10 --budget 80 --refill 16 --reason "until the licenses come"
license-master allocation loans port 30
license-master allocation first-claim port 900
license-master allocation blocks port 20
license-master allocation emergencies kiel
license-master allocation overdraft port 0
license-master allocation queue port 0
license-master allocation loans port 0
license-master allocation first-claim port 0
license-master allocation blocks port 0
license-master allocation emergencies kiel --no-longer

## From local to central
license-master license rebind ports-b --to hanover-box --drain --no-wait
license-master device certify --folder kiel-box
until license-master license list --device hanover-box | grep -q ports-b; do sleep 0.2; done
license-master status

## Dead device
license-master license release ports-kiel --dead --force --yes --reason "fire in Kiel" --no-wait
refused license-master license approve ports-kiel
as bob license-master license approve ports-kiel --reason "saw the ashes"
until license-master license bind ports-kiel --to hanover-box; do sleep 0.5; done

## A site without a network
license-master device token ship-box | head -1 > ship-token
license-master device create --folder ship --name projects/acme/devices/ship-box
LICENSE_MASTER_DEVICE_TOKEN=$(cat ship-token) license-master device enroll --folder ship --request-out e.json
license-master device admit e.json --answer-out a.json
license-master device answer --folder ship a.json
license-master vendor issue --key innovaphone.key --project acme --out ship.json --license afloat=PBX-Port12:3
license-master license import ship.json
mkdir carried
license-master license bind afloat --to ship-box --binding-out carried
license-master device accept --folder ship carried/afloat.binding.json
license-master license documents --device ship-box --out again
license-master license release afloat --request-out carried --no-wait
license-master device certify --folder ship carried/afloat.release-request.json --out c.json
license-master license certify c.json
refused license-master device accept --folder ship carried/afloat.binding.json

## A new vendor key
license-master vendor keygen --out next.key
license-master vendor introduce --key innovaphone.key --new next.key.pub --name 'innovaphone 2027' --retire-previous 2026-01-31 --out introduction.json
license-master vendor trust --introduction introduction.json
license-master vendor keys
license-master vendor issue --key innovaphone.key --project acme --out late.json --license late=PBX-Port12:1
refused license-master license import late.json
key=$(license-master vendor keys --json | sed -n 's/.*"key_id": "\([0-9a-f]*\)".*/\1/p' | head -1)
license-master vendor distrust "$key" --reason "key lost"

## Upgrade planning
license-master plan upgrade --to 12r1
refused license-master plan upgrade --to 13
license-master plan release ports-b || true
license-master plan rebind ports-b --to kiel-box
license-master plan central kiel || true
license-master plan site paris --need port=10

## Standby: check, drill, takeover
refused license-master standby check
license-master standby drill hq-2 || true

## Extend a service agreement
license-master credits add 2000 --reason "order 4711"
license-master credits show
cp "$EXAMPLES/prices/innovaphone.toml" prices.toml
license-master agreement extend ports-b --offer ssa --months 12 --quote prices.toml
license-master agreement extend ports-b --offer ssa --months 12 --prices prices.toml
license-master agreement list

## Upgrade under an agreement
license-master agreement publish 13 --on "$(date -u +%Y-%m-%d)"
license-master agreement upgrade ports-b --to 13
refused license-master agreement upgrade ports-kiel --to 13

## What ends
license-master agreement endings --days 730
license-master agreement rights --day 2027-12-01
license-master agreement calendar > ends.ics
license-master agreement ledger

## Ask before a release is installed
sed 's/name = "acme"/name = "shop"/; s/"innovaphone"/"allworx"/; /lease =/d' > shop.toml <<'END'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "shop" }]
devices = [{ name = "shop-box", platform = "server" }]
pbxs = [{ name = "shop", site = "shop", device = "shop-box", role = "master", software_version = "7" }]
END
license-master project apply shop.toml --yes
license-master device register shop-box --project shop --product server --delivered 2010-05-01 --release 7.0 --serial S-2010-77
refused license-master device check-upgrade shop-box 7.4 --project shop
license-master agreement extend shop-box --project shop --offer anytime --key M-2013-0001
license-master device install shop-box 7.1 --project shop
license-master device check-upgrade shop-box 7.4 --project shop

## A slip in the ledger
order=$(license-master credits add 20000 | sed -n '1s/ .*//p')
license-master agreement reverse "$order" --reason "a zero too much" --dry-run
license-master agreement reverse "$order" --reason "a zero too much"
license-master credits add 100
license-master credits add -50 --reason "fifty too many"
license-master credits pay PBX-Port12 1 --quote prices.toml
license-master device correct shop-box --project shop --delivered 2010-06-01 --reason "read wrongly"
license-master agreement publish 13 --on "$(date -u +%Y-%m-%d)" --correct --reason "the same day" || true

## Delete a project
sed 's/name = "acme"/name = "acmee"/' acme.toml > acmee.toml
license-master project apply acmee.toml --yes
license-master project delete acmee --reason "mistyped acme" --yes
refused license-master project show acmee
refused license-master project delete acme --reason "by mistake" --yes
license-master events --project acmee --limit 1
license-master audit verify --project acmee
license-master audit export --project acmee --out acmee.jsonl

## Audit
license-master events --limit 5
license-master events --since 1h --license ports-b --limit 3
license-master audit verify
license-master audit export --out audit.jsonl
license-master audit verify audit.jsonl
license-master audit verify --against audit.jsonl
sed 's/project.applied/project.removed/' audit.jsonl > altered.jsonl
refused license-master audit verify altered.jsonl
license-master db backup backup.db
license-master db check

## The authority's backup
cp -R pki pki-backup
license-master pki show --folder pki-backup

## A new authority
license-master pki init --folder pki-2036 --name 'authority 2036'
cat pki/ca.crt pki-2036/ca.crt > ca.crt
license-master pki issue operator carla --folder pki-2036 --out carla

## Certificates
license-master pki revoke operators/bob || license-master pki revoke bob
until ! as bob license-master status; do sleep 0.2; done

end_master
license-master db restore backup.db --force
license-master db check
