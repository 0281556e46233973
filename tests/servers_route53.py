"""
Route 53 for tests: moto's server keeps the state, and a strict layer before it refuses what Route 53 refuses.

The layer is our model of Route 53 from its documentation: TXT grammar and sizes, names outside the zone, CREATE of what
is there, DELETE of what is not exactly there, batches done whole or not at all, changes with ids of their own that are
pending until a test lets them out, throttling, denial, lost answers, protections. What is let out is served as DNS.
"""

import http.client
import re
import subprocess
import sys
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from conftest import free_port

from servers_dns import serve_dns

_NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"
_SOA = "ns-1.awsdns-01.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
_STRING = re.compile(r'\s*"((?:[^"\\]|\\.)*)"')
_ZONE = re.compile(r"/2013-04-01/hostedzone/([A-Z0-9]+)(/rrset|/rrsetprotection)?/?")
_CHANGE = re.compile(r"/2013-04-01/change/(\w+)")
_STATUS = {"NoSuchChange": 404, "NoSuchHostedZone": 404, "AccessDenied": 403, "InternalFailure": 500}
Sets = dict[tuple[str, str], tuple[int, tuple[str, ...]]]
"""Name and type of record sets, with TTL and values."""


@dataclass
class Route53:
    """
    The strict layer, and what a test does to it.

    `calls` counts what was asked by name. The next `throttled` calls are throttled, the next `busy` changes meet
    another that is not complete, the next `lost` ones are made and not answered; calls in `denied` are denied always.
    """

    moto: str
    url: str = ""
    dns_port: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    batches: list[int] = field(default_factory=list)
    throttled: int = 0
    busy: int = 0
    lost: int = 0
    denied: set[str] = field(default_factory=set)
    is_pending: bool = False
    changes: dict[str, tuple[str, Sets] | None] = field(default_factory=dict)
    served: dict[str, Sets] = field(default_factory=dict)
    protected: set[tuple[str, str, str]] = field(default_factory=set)
    admin: Any = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def zone(self, name: str, *, is_private: bool = False, is_delegated: bool = True) -> str:
        """Make a hosted zone; the world is sent to its servers when it is delegated."""
        more: dict[str, object] = {"VPC": {"VPCRegion": "us-east-1", "VPCId": "vpc-1"}} if is_private else {}
        made = self.admin.create_hosted_zone(
            Name=name,
            CallerReference=uuid.uuid4().hex,
            HostedZoneConfig={"PrivateZone": is_private, "Comment": ""},
            **more,
        )
        zone: str = made["HostedZone"]["Id"].rpartition("/")[2]
        if is_delegated and not is_private:
            self.served[f"{name}."] = self.sets(zone)
        return zone

    def put(self, zone: str, *records: Mapping[str, object]) -> None:
        """Make record sets behind the program's back."""
        changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
        self.admin.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        name = self.admin.get_hosted_zone(Id=zone)["HostedZone"]["Name"]
        self.served[_plain(name)] = self.sets(zone)

    def sets(self, zone: str) -> Sets:
        """Give what is in a zone."""
        found: Sets = {}
        for page in self.admin.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone):
            for record in page["ResourceRecordSets"]:
                values = tuple(value["Value"] for value in record.get("ResourceRecords", ()))
                if record["Type"] in {"NS", "CNAME"}:
                    values = tuple(map(_plain, values))  # Route 53 takes them with or without the final dot
                found[_plain(record["Name"]), record["Type"]] = (record.get("TTL", 0), values)
        return found

    def settle(self) -> None:
        """Let all pending changes out, and those that come."""
        self.is_pending = False
        with self.lock:
            for change, what in self.changes.items():
                if what is not None:
                    self.served[what[0]] = what[1]
                    self.changes[change] = None

    def reset(self) -> None:
        """Forget all faults and counts."""
        self.settle()
        self.throttled = self.busy = self.lost = 0
        self.denied.clear()
        self.calls.clear()
        self.batches.clear()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes] | None:
        """Answer a call; `None` leaves it without an answer."""
        call, zone = _called(method, path)
        with self.lock:
            self.calls[call] += 1
            fault = self._fault(call)
            if fault is not None:
                return _error(*fault)
            if call == "GetChange":
                return self._change_info(path.rpartition("/")[2], "GetChangeResponse")
            if call.endswith("Protections"):
                return self._protections(zone)
            if call == "ChangeResourceRecordSets":
                return self._changed(zone, method, path, headers, body)
            return self._relayed(method, path, headers, body)

    def _fault(self, call: str) -> tuple[str, str] | None:
        if call in self.denied:
            return "AccessDenied", f"User: test is not authorized to perform: route53:{call}"
        if self.throttled:
            self.throttled -= 1
            return "Throttling", "Rate exceeded"
        if self.busy and call == "ChangeResourceRecordSets":
            self.busy -= 1
            return "PriorRequestNotComplete", "The request was rejected because a prior one is not complete"
        return None

    def _changed(
        self, zone: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes] | None:
        try:
            name = _plain(self.admin.get_hosted_zone(Id=zone)["HostedZone"]["Name"])
        except self.admin.exceptions.NoSuchHostedZone:
            return _error("NoSuchHostedZone", f"No hosted zone found with ID: {zone}")
        changes = list(ET.fromstring(body).iter(f"{{{_NAMESPACE}}}Change"))  # noqa: S314 - boto3 wrote it
        faults = _faults(
            name, self.sets(zone), changes, {(kept, kind) for of, kept, kind in self.protected if of == zone}
        )
        if faults:
            return _error("InvalidChangeBatch", f"[{', '.join(faults)}]")
        status, answer = self._relayed(method, path, headers, body)
        if status != 200:
            return status, answer
        self.batches.append(len(changes))
        change = f"C{uuid.uuid4().hex[:14].upper()}"
        self.changes[change] = (name, self.sets(zone))
        if not self.is_pending:
            self.settle()
        if self.lost:
            self.lost -= 1
            return None
        return self._change_info(change, "ChangeResourceRecordSetsResponse")

    def _change_info(self, change: str, outer: str) -> tuple[int, bytes]:
        if change not in self.changes:
            return _error("NoSuchChange", f"Could not find resource with ID: {change}")
        status = "INSYNC" if self.changes[change] is None else "PENDING"
        info = f"<Id>/change/{change}</Id><Status>{status}</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt>"
        return 200, f'<{outer} xmlns="{_NAMESPACE}"><ChangeInfo>{info}</ChangeInfo></{outer}>'.encode()

    def _protections(self, zone: str) -> tuple[int, bytes]:
        one, outer = "ResourceRecordSetProtection", "ListResourceRecordSetProtectionsResponse"
        listed = "".join(
            f"<{one}><RecordName>{name}</RecordName><RecordType>{kind}</RecordType></{one}>"
            for of, name, kind in sorted(self.protected)
            if of == zone
        )
        return 200, f'<{outer} xmlns="{_NAMESPACE}"><{one}s>{listed}</{one}s></{outer}>'.encode()

    def _relayed(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.moto.removeprefix("http://"), timeout=30)
        kept = {key: value for key, value in headers.items() if key.lower() not in {"content-length", "connection"}}
        connection.request(method, path, body, kept)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            connection.close()

    def respond(self, query: dns.message.Message) -> dns.message.Message:
        """Answer DNS from what is let out."""
        reply = dns.message.make_response(query)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        zone = max((zone for zone in self.served if f".{name}".endswith(f".{zone}")), key=len, default=None)
        if zone is None:
            reply.set_rcode(dns.rcode.REFUSED)
            return reply
        reply.flags |= dns.flags.AA
        sets = self.served[zone]
        shown = kind if (name, kind) in sets else "CNAME"
        if (name, shown) in sets:
            ttl, values = sets[name, shown]
            reply.answer.append(dns.rrset.from_text_list(question.name, ttl, "IN", shown, values))
        else:
            if not any(f".{there}".endswith(f".{name}") for there, _ in sets):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority.append(dns.rrset.from_text(zone, 900, "IN", "SOA", _SOA))
        return reply


@pytest.fixture(scope="session")
def route53_server() -> Iterator[Route53]:
    """The strict layer, moto behind it, and DNS."""
    moto, front = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(moto)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Route53(f"127.0.0.1:{moto}", f"http://127.0.0.1:{front}")
    try:
        _wait_for(moto, process)
        server.admin = boto3.client(
            "route53",
            endpoint_url=f"http://127.0.0.1:{moto}",
            region_name="us-east-1",
            aws_access_key_id="admin",
            aws_secret_access_key="admin",  # noqa: S106 - moto asks for some
        )
        with (
            serve_dns(server.respond) as server.dns_port,
            ThreadingHTTPServer(("127.0.0.1", front), _handler(server)) as http_server,
        ):
            threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            yield server
            http_server.shutdown()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def route53(route53_server: Route53, monkeypatch: pytest.MonkeyPatch) -> Iterator[Route53]:
    """The strict layer without faults, and the environment that leads to it."""
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_ROUTE_53", route53_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    route53_server.reset()
    yield route53_server
    route53_server.reset()


def _handler(server: Route53) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = server.answer(self.command, self.path, dict(self.headers), body)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        do_GET = do_POST = _answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    return Handler


def _called(method: str, path: str) -> tuple[str, str]:
    plain = path.partition("?")[0]
    if _CHANGE.fullmatch(plain):
        return "GetChange", ""
    zone = _ZONE.fullmatch(plain)
    if zone is None:
        return "ListHostedZones", ""
    names = {
        None: "GetHostedZone",
        "/rrset": "ChangeResourceRecordSets" if method == "POST" else "ListResourceRecordSets",
        "/rrsetprotection": "ListResourceRecordSetProtections",
    }
    return names[zone[2]], zone[1]


def _faults(zone: str, there: Sets, changes: Sequence[ET.Element], protected: set[tuple[str, str]]) -> list[str]:
    """Try a batch on what is there; say all that does not fit."""
    faults = []
    records = characters = 0
    for change in changes:
        values = tuple(value.text or "" for value in change.iter(f"{{{_NAMESPACE}}}Value"))
        records, characters = records + len(values), characters + sum(map(len, values))
        fault = _fault(zone, there, change, values, protected)
        if fault:
            faults.append(fault)
    if records > 1000:
        faults.append("Number of records limit of 1000 exceeded.")
    if characters > 32000:
        faults.append("Number of characters limit of 32000 exceeded.")
    return faults


def _fault(
    zone: str, there: Sets, change: ET.Element, values: tuple[str, ...], protected: set[tuple[str, str]]
) -> str | None:
    def of(path: str) -> str:
        return change.findtext("/".join(f"{{{_NAMESPACE}}}{part}" for part in path.split("/"))) or ""

    action, name, kind = of("Action"), _plain(of("ResourceRecordSet/Name")), of("ResourceRecordSet/Type")
    ttl = of("ResourceRecordSet/TTL")
    key = f"[name='{name}', type='{kind}']"
    if not f".{name}".endswith(f".{zone}"):
        return f"RRSet with DNS name {name} is not permitted in zone {zone}"
    if (name.removesuffix("."), kind) in protected:
        return f"The record {key} cannot be changed, since a protection is in force"
    if not ttl.isdigit() or int(ttl) > 2147483647 or not values or len(set(values)) < len(values) or "" in values:
        return f"Invalid request: TTL or values of {key}"
    text_fault = next(filter(None, map(_text_fault, values)), None) if kind == "TXT" else None
    if text_fault:
        return text_fault
    if action == "DELETE":
        if (name, kind) not in there:
            return f"Tried to delete resource record set {key} but it was not found"
        if (there[name, kind][0], sorted(there[name, kind][1])) != (int(ttl), sorted(values)):
            return f"Tried to delete resource record set {key} but the values provided do not match the current values"
        del there[name, kind]
        return None
    if action == "CREATE" and (name, kind) in there:
        return f"Tried to create resource record set {key} but it already exists"
    others = {other for at, other in there if at == name and other != kind}
    if "CNAME" in others or (kind == "CNAME" and others):
        return f"RRSet of type {kind} with DNS name {name} is not permitted as it conflicts with other records"
    there[name, kind] = (int(ttl), values)
    return None


def _text_fault(value: str) -> str | None:
    place = total = 0
    while place < len(value):
        string = _STRING.match(value, place)
        if string is None or not value.isascii():
            return f"InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '{value}'"
        if len(re.sub(r"\\(?:[0-7]{3}|.)", "x", string[1])) > 255:
            return f"CharacterStringTooLong (Value is too long) encountered with '{value}'"
        place, total = string.end(), total + len(string[1])
    return f"TXTRDATATooLong encountered with '{value[:40]}...'" if total > 4000 else None


def _plain(name: str) -> str:
    return name.lower().removesuffix(".") + "."


def _error(code: str, message: str) -> tuple[int, bytes]:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    body = f'<ErrorResponse xmlns="{_NAMESPACE}">{error}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>'
    return _STATUS.get(code, 400), body.encode()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/moto-api/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    pytest.fail("moto's server does not answer")
