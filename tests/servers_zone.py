"""The zone example.com as an authoritative server gives it: TXT records that tests set and change at will."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from dmarcops.dns.txt import DECIMAL, format_txt
from servers_dns import serve_dns

BY_HAND = """
[dns.hand]
kind = "manual"
[resolver]
recursive = ["127.0.0.1:{port}"]
[resolver.authoritative]
"{domain}" = ["127.0.0.1:{port}"]
"""
"""Of a configuration: a zone that is written by hand, and served at a port."""
_ROTATED = """
[signers.own]
kind = "command"
command = ["{folder}/own"]
key_dir = "{folder}/signer"
[domains."{domain}"]
dns = "hand"
signers = ["own"]
[domains."{domain}".dkim]
"""


class Zone(dict[str, bytes]):
    """What a server says of each name; nothing while it `is_ill`, and `beside` as well where that is not empty."""

    is_ill = False
    beside = b""

    def respond(self, query: dns.message.Message) -> dns.message.Message:
        """Answer a question, as `serve_dns` wants it."""
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        if self.is_ill:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        if name in self and query.question[0].rdtype == dns.rdatatype.TXT:
            texts = [format_txt(text, base=DECIMAL) for text in (self[name], self.beside) if text]
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", *texts))
        else:
            soa = dns.rrset.from_text("example.com.", 60, "IN", "SOA", "ns.example.com. h.example.com. 1 1 1 1 1")
            is_asked = query.question[0].rdtype == dns.rdatatype.SOA and name == "example.com"
            (reply.answer if is_asked else reply.authority).append(soa)
        return reply


def text_of(line: str) -> bytes:
    """Return the text of a record that `keys show` printed."""
    rdata = dns.rrset.from_text("x.", 60, "IN", "TXT", line.split(" TXT ")[1])[0]
    return b"".join(rdata.strings)


@contextmanager
def rotated_by_hand(folder: Path, zone: Zone, script: str, *, domain: str = "example.com") -> Iterator[None]:
    """Serve a zone that is written by hand, with a configuration in a folder whose signer is a script."""
    (folder / "own").write_text(script)
    (folder / "own").chmod(0o755)
    (folder / "signer").mkdir(mode=0o700)
    with serve_dns(zone.respond) as port:
        (folder / "dmarcops.toml").write_text((BY_HAND + _ROTATED).format(folder=folder, port=port, domain=domain))
        yield
