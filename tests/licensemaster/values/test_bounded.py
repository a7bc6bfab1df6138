"""What reading a text costs is bounded before it is read: by size, depth and counts, in every format that nests."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import license_agent
import licensemaster
import master
import slave_client
import vendor_tools
from licensemaster.signing.documents import ELEMENTS_MAX, DocumentError, from_text, read_payload
from licensemaster.v1 import document_pb2
from licensemaster.values.bounded import OverLimitError, TextLimits, check_json, read_json, read_toml

SMALL = TextLimits(size=2000, depth=4, items=20, parts=4, word=10)
MIB = 1024 * 1024

# --- Each limit, on both sides ----------------------------------------------------------------------------------------

HONEST_TOML = {
    "parts": ("a.b.c.d = 1", "a.b.c.d.e = 1"),
    "parts, quoted": ("'a.b.c.d.e'.\"f.g\" . h . i = 1", "a.'b'.\"c\" . d . e = 1"),
    "parts of a table": ("[a.b.c.d]\ne.f.g.h = 1.5", "[a.b.c.d.e]"),
    "depth": ("a = [[[[1]]]]", "a = [[[[[1]]]]]"),
    "depth of tables": ("a = {b = {c = {d = {}}}}", "a = {b = {c = {d = {e = {}}}}}"),
    "items": ("a = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]", "a = [" + "1," * 20 + "]"),
    "items of tables": ("[[a]]\n" * 10, "[[a]]\n" * 11),
    "word": ("a = 1234567890", "a = 12345678901"),
    "size": ("# " + "x" * 1998, "# " + "x" * 1999),
}


@pytest.mark.parametrize(("within", "over"), HONEST_TOML.values(), ids=HONEST_TOML)
def test_toml_within_a_limit_and_over_it(within: str, over: str) -> None:
    assert read_toml(within, SMALL) == tomllib.loads(within)
    with pytest.raises(OverLimitError):
        read_toml(over, SMALL)


@pytest.mark.parametrize(
    "text",
    [
        'a = "[[[[[[ a.b.c.d.e.f , = , = 12345678901234567890"',
        "a = '[[[[[[ \" a.b.c.d.e.f'\nb = 2",
        "# [[[[[[ ' a.b.c.d.e.f\na = 1",
        'a = """[[[[[[ "" \\""" x"""""\nb = [2]',
        "a = '''[[[[[[ '' x'''''\nb = [2]",
        'a = ""\nb = \'\'\nc = "\\""\nd = "\\\\"',
        'a = "x" # "\n\n\n[b]\nc = 2000-01-01',
    ],
)
def test_what_stands_in_texts_and_comments_does_not_count(text: str) -> None:
    assert read_toml(text, SMALL) == tomllib.loads(text)


@pytest.mark.parametrize("opens", ['a = "x', "a = '", 'a = """', "a = '''", 'a = """x""\\"""'])
def test_behind_a_text_that_is_not_closed_no_parser_gets_further(opens: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        read_toml(f"{opens}[[[[[[", SMALL)


@pytest.mark.parametrize("closed", ['"""x"""""', "'''x'''''", '""', "''", '"\\""', "'\\'", '"""\\\\"""', "1 # '"])
def test_nothing_hides_behind_a_text(closed: str) -> None:
    """The count stands where the parser stands: what follows a text's end is seen."""
    with pytest.raises(OverLimitError, match="nested too deeply") as refused:
        read_toml(f"a = {closed}\n\nb = [[[[[", SMALL)
    assert refused.value.line == 3


@pytest.mark.parametrize(
    ("within", "over"),
    [
        ("[[[[1]]]]", "[[[[[1]]]]]"),
        ('{"a": {"b": {"c": {}}}}', '{"a": {"b": {"c": {"d": {}}}}}'),
        ("[" + "1," * 18 + "1]", "[" + "1," * 20 + "1]"),
        ('["[[[[[[[,,,,\\"[[[[[["]', '["\\\\", [[[[['),
        ("[1234567890]", "[12345678901]"),
        ('"' + "x" * 1998 + '"', '"' + "x" * 1999 + '"'),
    ],
)
def test_json_within_a_limit_and_over_it(within: str, over: str) -> None:
    read_json(within, SMALL)
    with pytest.raises(OverLimitError):
        check_json(over, SMALL)


def test_of_two_values_of_one_name_none_is_dropped() -> None:
    limits = TextLimits(size=100, depth=4, items=20)
    assert read_json('[{"a": 1, "b": {"a": 1}}, {"a": 2}]', limits) == [{"a": 1, "b": {"a": 1}}, {"a": 2}]
    with pytest.raises(ValueError, match="'a' stands twice in one object"):
        read_json('[{"b": {"a": 1, "c": 2, "a": 1}}]', limits)


# --- The attack, where memory ends ------------------------------------------------------------------------------------

ATTACKS = {
    "dots in a key": "read_prices('a' + '.a' * 130_000 + ' = 1')",
    "dots in a table's name": "read_prices('[a' + '.a' * 130_000 + ']')",
    "quoted parts of a key": "read_prices('\"a\".' * 60_000 + 'b = 1')",
    "dots in keys of tables with dots": "read_prices('[a.a.a.a.a.a.a.a]\\n' + 'b.b.b.b.b.b.b.b = 1\\n' * 12_000)",
    "a table in a table": "read_prices('a = ' + '{a=' * 80_000)",
    "lists in lists": "read_prices('a = ' + '[' * 250_000)",
    "empty tables": "read_prices('a = [' + '{},' * 80_000 + ']')",
    "a number of 200,000 digits": "read_prices('a = 0x' + 'f' * 200_000)",
    "twenty megabytes": "read_prices('#' * 20_000_000)",
    "a document of lists": "from_text('[' * 2_000_000)",
    "a document of objects": "from_text('[' + '{},' * 600_000 + ']')",
    "a document of empty lines": "from_text('\\n' * 2_000_000)",
    "empty licenses": "payload(b'\\x32\\x00' * 500_000)",
    "a line of an export": "read_line(b'[' + b'{},' * 5_000_000 + b']\\n')",
    "certificates that do not end": "certificates(b'-----BEGIN CERTIFICATE-----' * 100_000)",
}
_PROGRAM = """
import resource, sys, tempfile
from importlib import resources
from pathlib import Path
from licensemaster.v1 import document_pb2
from master.domain.agreements.ledger.price_file import PriceFileError, read_prices as prices
from master.domain.audit.export import read_line
from master.domain.catalog.catalog_file import read_catalog
from licensemaster.signing.documents import DocumentError, from_text, read_payload
from licensemaster.tls.pem import CertificateFilesError, NamedFile, read_certificates
text = (resources.files("master.domain.catalog.vendors") / "innovaphone.toml").read_text(encoding="utf-8")
catalog = read_catalog(text, file="innovaphone.toml")

def read_prices(text):
    prices(text, file="prices.toml", catalog=catalog)

def payload(content):
    read_payload(document_pb2.SignedDocument(payload=content), document_pb2.LicenseFile)

def certificates(content):
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        read_certificates(NamedFile("ca", Path(file.name)))

for attack in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        eval(attack)
    except (PriceFileError, DocumentError, ValueError, CertificateFilesError) as error:
        after = resource.getrusage(resource.RUSAGE_SELF)
        print(after.ru_maxrss - before.ru_maxrss, after.ru_utime - before.ru_utime, type(error).__name__, str(error))
    else:
        sys.exit(f"{attack} was read")
"""


def test_a_text_made_to_cost_costs_next_to_nothing() -> None:
    """All of them in one process, which could not have the gigabyte that a single one takes where it is parsed."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1024 * MIB, 1024 * MIB))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *ATTACKS.values()],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    refused = done.stdout.splitlines()
    assert len(refused) == len(ATTACKS)
    for name, line in zip(ATTACKS, refused, strict=True):
        kib, *_ = line.split()
        assert int(kib) < 100 * 1024, (name, line[:200])
        assert len(line) < 1000, name


# --- Honest files are large, too --------------------------------------------------------------------------------------


def test_a_file_of_ten_thousand_licenses_is_read() -> None:
    licenses = [
        document_pb2.LicenseItem(id=f"license-{number}", type="PBX-Port12", quantity=1) for number in range(10_000)
    ]
    payload = document_pb2.LicenseFile(id="file", licenses=licenses).SerializeToString()
    assert len(read_payload(document_pb2.SignedDocument(payload=payload), document_pb2.LicenseFile).licenses) == 10_000


def test_elements_are_counted_exactly() -> None:
    def read(count: int) -> None:
        read_payload(document_pb2.SignedDocument(payload=b"\x32\x00" * count), document_pb2.LicenseFile)

    read(ELEMENTS_MAX)
    with pytest.raises(DocumentError, match="more than 20,000 elements"):
        read(ELEMENTS_MAX + 1)


def test_only_a_license_file_may_be_large() -> None:
    document = document_pb2.SignedDocument(payload=document_pb2.Enrollment(token="x" * 20_000).SerializeToString())
    with pytest.raises(DocumentError, match="longer than 16,384 bytes"):
        read_payload(document, document_pb2.Enrollment)


# --- Who may call a parser --------------------------------------------------------------------------------------------

_OWN = "this program wrote it"
_TLS = "TLS bounds a certificate"
PARSERS: dict[str, dict[str, str]] = {
    "licensemaster/values/bounded.py": {"tomllib.loads": "counted before", "json.loads": "counted before"},
    "master/auth/authority/authority.py": {
        "json.loads": _OWN,
        "load_pem_private_key": _OWN,
        "x509.load_pem_x509_certificate": _OWN,
        "x509.load_pem_x509_crl": _OWN,
    },
    "master/auth/certificates/certificate_files.py": {
        "x509.load_pem_x509_certificates": "what `licensemaster.tls.pem` read and wrote anew",
        "x509.load_pem_x509_crl": "at most 4 MiB, each byte looked at once",
    },
    "master/cli/operator/agreements/agreement_views.py": {"json.loads": _OWN},
    "master/cli/operator/monitoring/listings.py": {"json.loads": _OWN},
    "master/cli/output/rendering.py": {"base64.b64decode": _OWN},
    "master/cli/pki/pki_files.py": {
        "x509.load_pem_x509_certificate": _OWN,
        "x509.load_pem_x509_certificates": _OWN,
        "x509.load_pem_x509_csr": "at most 16 KiB",
    },
    "licensemaster/values/toml_lines.py": {"tomllib.loads": "one quoted part of a key, of a text that was counted"},
    "master/domain/monitoring/policy_uses.py": {"json.loads": _OWN},
    "master/launch.py": {"json.loads": _OWN},
    "master/rpc/repeatable.py": {"self.kind.FromString": _OWN},
    "master/rpc/convert/refusals.py": {"type(response).FromString": _OWN},
    "master/rpc/convert/signed_documents.py": {"document_pb2.SignedDocument.FromString": _OWN},
    "master/rpc/admission/authorizer.py": {
        "x509.load_pem_x509_certificate": _TLS,
        "x509.load_pem_x509_certificates": _TLS,
    },
    "master/rpc/server/metrics_page.py": {"x509.load_pem_x509_certificates": _TLS},
    "master/rpc/server/reflection.py": {
        "descriptor_pb2.FileDescriptorProto.FromString": _OWN,
        "descriptor_pb2.FileDescriptorSet.FromString": _OWN,
    },
    "master/store/statements/agreements.py": {"json.loads": _OWN},
    "master/store/statements/projects/allocation.py": {"json.decode": _OWN},
    "vendor_tools/vendor_documents.py": {
        "load_pem_private_key": "at most 1 MiB, one key",
        "load_pem_public_key": "at most 1 MiB, one key",
    },
    "licensemaster/signing/device_key.py": {"json.loads": _OWN, "load_pem_private_key": _OWN},
    "licensemaster/signing/documents.py": {
        "json_format.Parse": "`check_json` before",
        "payload.FromString": "bytes and elements counted before",
    },
    "licensemaster/tls/pem.py": {
        "load_pem_private_key": "at most 4 MiB, one key",
        "x509.load_pem_x509_certificate": "at most 4 MiB, each byte looked at once",
    },
    "license_agent/http/server.py": {"base64.b64decode": "one header, of at most the 8 KiB that aiohttp takes"},
    "slave_client/storage/state_files.py": {"base64.b64decode": _OWN, "json.loads": _OWN},
    "licensemaster/tls/failure.py": {"x509.load_der_x509_certificate": _TLS},
}


def _parser_calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_parser(called := ast.unparse(node.func)):
            yield called
        elif isinstance(node, ast.ImportFrom) and node.module in {"json", "tomllib", "base64", "csv", "pickle"}:
            yield f"from {node.module} import"


def _is_parser(called: str) -> bool:
    module, _, name = called.rpartition(".")
    return (
        name in {"FromString", "ParseFromString", "MergeFromString", "a2b_base64"}
        or name.startswith(("load_pem_", "load_der_", "b64decode", "urlsafe_b64decode", "decompress", "from_ical"))
        or (module in {"json", "tomllib", "pickle", "marshal", "yaml"} and name.startswith(("load", "safe_", "decode")))
        or (module == "csv" and "eader" in name)
        or (module in {"json_format", "text_format"} and name in {"Parse", "ParseDict", "Merge"})
        or module in {"gzip", "zlib", "bz2", "lzma", "zipfile", "tarfile", "ElementTree"}
    )


def _found() -> dict[str, set[str]]:
    collected: dict[str, set[str]] = {}
    for package in (licensemaster, master, slave_client, license_agent, vendor_tools):
        folder = Path(str(package.__path__[0]))
        for file in folder.rglob("*.py"):
            if not file.stem.endswith(("_pb2", "_pb2_grpc")):
                calls = set(_parser_calls(ast.parse(file.read_text(encoding="utf-8"))))
                if calls:
                    collected[str(file.relative_to(folder.parent))] = calls
    return collected


def test_every_call_of_a_parser_is_known_with_what_bounds_it() -> None:
    """A new one goes through `licensemaster.values.bounded`, or is written down here with its bound."""
    assert _found() == {file: set(calls) for file, calls in PARSERS.items()}


def test_from_text_takes_what_it_always_took() -> None:
    with pytest.raises(DocumentError, match="nested too deeply"):
        from_text('{"kind": [1]}')
    known: Any = from_text('{"kind": "DOCUMENT_KIND_BINDING", "payload": "YWJj", "signature": "", "keyId": "a"}')
    assert known.payload == b"abc"
