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
from collections.abc import Collection, Iterator, Mapping, Sequence
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
_BURST = 52.0
"""Calls that an account may make at once: 50 (Route 53 developer guide), and what may come faster than it was sent."""
Sets = dict[tuple[str, str], tuple[int, tuple[str, ...]]]
"""Name and type of record sets, with TTL and values."""


@dataclass(frozen=True)
class Call:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Route53:
    """
    The strict layer, and what a test does to it.

    `calls` counts what was asked by name. The next `throttled` calls are throttled, the next `busy` changes meet
    another that is not complete, the next `lost` ones are made and not answered; calls in `denied` are denied always.
    `negative_ttl` is the TTL of the SOA of all zones. With a `rate` the account may make so many calls a second after
    the first 50, all others are throttled and counted in `refused`.
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
    negative_ttl: int = 900
    rate: float = 0
    refused: int = 0
    changes: dict[str, tuple[str, Sets] | None] = field(default_factory=dict)
    served: dict[str, Sets] = field(default_factory=dict)
    protected: set[tuple[str, str, str]] = field(default_factory=set)
    zones: dict[str, tuple[str, Sets]] = field(default_factory=dict)
    admin: Any = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    _left: float = 0
    _at: float = 0

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
        self.zones[zone] = (_plain(name), self.sets(zone))
        if is_delegated and not is_private:
            self.served[_plain(name)] = self.zones[zone][1]
        return zone

    def put(self, zone: str, *records: Mapping[str, object]) -> None:
        """Make record sets behind the program's back."""
        changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
        self.admin.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        name = self.zones[zone][0]
        self.zones[zone] = (name, self.sets(zone))
        self.served[name] = self.zones[zone][1]

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
        self.negative_ttl = 900
        self.limit(0)
        self.denied.clear()
        self.calls.clear()
        self.batches.clear()

    def limit(self, rate: float) -> None:
        """Let the account make so many calls a second from now on, and 50 more at once; 0: any number."""
        self.rate, self.refused, self._left, self._at = rate, 0, _BURST, time.monotonic()

    def _is_too_much(self) -> bool:
        now = time.monotonic()
        self._left, self._at = min(_BURST, self._left + (now - self._at) * self.rate), now
        if self._left < 1:
            self.refused += 1
            return True
        self._left -= 1
        return False

    def answer(self, call: Call) -> tuple[int, bytes] | None:
        """Answer a call; `None` leaves it without an answer."""
        name, zone = _called(call)
        with self.lock:
            self.calls[name] += 1
            fault = self._fault(name)
            if fault is not None:
                return _error(*fault)
            if name == "GetChange":
                return self._change_info(call.path.rpartition("/")[2], "GetChangeResponse")
            if name.endswith("Protections"):
                return self._protections(zone)
            if name == "ChangeResourceRecordSets":
                return self._changed(zone, call)
            return self._relayed(call)

    def _fault(self, call: str) -> tuple[str, str] | None:
        if call in self.denied:
            return "AccessDenied", f"User: test is not authorized to perform: route53:{call}"
        if self.throttled:
            self.throttled -= 1
            return "Throttling", "Rate exceeded"
        if self.rate and self._is_too_much():
            return "Throttling", "Rate exceeded"
        if self.busy and call == "ChangeResourceRecordSets":
            self.busy -= 1
            return "PriorRequestNotComplete", "The request was rejected because a prior one is not complete"
        return None

    def _changed(self, zone: str, call: Call) -> tuple[int, bytes] | None:
        if zone not in self.zones:
            return _error("NoSuchHostedZone", f"No hosted zone found with ID: {zone}")
        name, there = self.zones[zone][0], dict(self.zones[zone][1])
        changes = [_Change.read(element) for element in ET.fromstring(call.body).iter(f"{{{_NAMESPACE}}}Change")]  # noqa: S314 - boto3 wrote it
        kept = {(name, kind) for of, name, kind in self.protected if of == zone}
        faults = _faults(name, there, changes, kept)
        if faults:
            return _error("InvalidChangeBatch", f"[{', '.join(faults)}]")
        status, answer = self._relayed(call)
        if status != 200:
            return status, answer
        self.batches.append(len(changes))
        change = f"C{uuid.uuid4().hex[:14].upper()}"
        self.zones[zone] = (name, there)
        self.changes[change] = (name, there)
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

    def _relayed(self, call: Call) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.moto, timeout=30)
        kept = {
            key: value for key, value in call.headers.items() if key.lower() not in {"content-length", "connection"}
        }
        connection.request(call.method, call.path, call.body, kept)
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
            # moto's own SOA is malformed
            ttl, values = (self.negative_ttl, (_SOA,)) if shown == "SOA" else sets[name, shown]
            reply.answer.append(dns.rrset.from_text_list(question.name, ttl, "IN", shown, values))
        else:
            if not any(f".{there}".endswith(f".{name}") for there, _ in sets):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority.append(dns.rrset.from_text(zone, self.negative_ttl, "IN", "SOA", _SOA))
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
        disable_nagle_algorithm = True
        wbufsize = -1

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = server.answer(Call(self.command, self.path, dict(self.headers), body))
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


def _called(call: Call) -> tuple[str, str]:
    plain = call.path.partition("?")[0]
    if _CHANGE.fullmatch(plain):
        return "GetChange", ""
    zone = _ZONE.fullmatch(plain)
    if zone is None:
        return "ListHostedZones", ""
    names = {
        None: "GetHostedZone",
        "/rrset": "ChangeResourceRecordSets" if call.method == "POST" else "ListResourceRecordSets",
        "/rrsetprotection": "ListResourceRecordSetProtections",
    }
    return names[zone[2]], zone[1]


@dataclass(frozen=True)
class _Change:
    """One change of a batch."""

    action: str
    name: str
    kind: str
    ttl: str
    values: tuple[str, ...]

    @classmethod
    def read(cls, element: ET.Element) -> "_Change":
        def of(path: str) -> str:
            return element.findtext("/".join(f"{{{_NAMESPACE}}}{part}" for part in path.split("/"))) or ""

        values = tuple(value.text or "" for value in element.iter(f"{{{_NAMESPACE}}}Value"))
        records = "ResourceRecordSet/"
        return cls(of("Action"), _plain(of(f"{records}Name")), of(f"{records}Type"), of(f"{records}TTL"), values)

    @property
    def key(self) -> str:
        return f"[name='{self.name}', type='{self.kind}']"

    def fault_of_form(self, zone: str, protected: Collection[tuple[str, str]]) -> str | None:
        """Say what is wrong with it wherever it is done."""
        if not f".{self.name}".endswith(f".{zone}"):
            return f"RRSet with DNS name {self.name} is not permitted in zone {zone}"
        if (self.name.removesuffix("."), self.kind) in protected:
            return f"The record {self.key} cannot be changed, since a protection is in force"
        if not self.ttl.isdigit() or int(self.ttl) > 2147483647:
            return f"Invalid TTL of {self.key}"
        if not self.values or len(set(self.values)) < len(self.values) or "" in self.values:
            return f"Invalid values of {self.key}"
        return next(filter(None, map(_text_fault, self.values)), None) if self.kind == "TXT" else None

    def fault_of_place(self, there: Sets) -> str | None:
        """Say why it does not fit what is there; otherwise it is done to it."""
        found = there.get((self.name, self.kind))
        if self.action == "DELETE":
            if found is None:
                return f"Tried to delete resource record set {self.key} but it was not found"
            if (found[0], sorted(found[1])) != (int(self.ttl), sorted(self.values)):
                return f"Tried to delete resource record set {self.key} but the values provided do not match"
            del there[self.name, self.kind]
            return None
        if self.action == "CREATE" and found is not None:
            return f"Tried to create resource record set {self.key} but it already exists"
        others = {kind for name, kind in there if name == self.name and kind != self.kind}
        if "CNAME" in others or (self.kind == "CNAME" and others):
            return f"RRSet of type {self.kind} with DNS name {self.name} conflicts with other records"
        there[self.name, self.kind] = (int(self.ttl), self.values)
        return None


def _faults(zone: str, there: Sets, changes: Sequence[_Change], protected: Collection[tuple[str, str]]) -> list[str]:
    """Try a batch on what is there; say all that does not fit."""
    found = [change.fault_of_form(zone, protected) or change.fault_of_place(there) for change in changes]
    faults = [fault for fault in found if fault is not None]
    if sum(len(change.values) for change in changes) > 1000:
        faults.append("Number of records limit of 1000 exceeded.")
    if sum(len(value) for change in changes for value in change.values) > 32000:
        faults.append("Number of characters limit of 32000 exceeded.")
    return faults


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
