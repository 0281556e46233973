"""A key that mail is signed with already comes under our care: its private half is kept, its record must be the one."""

from datetime import datetime

from dmarcops.dkim.key import PrivateKey
from dmarcops.dkim.lifecycle import Key, Stage
from dmarcops.dkim.record import compare, format_record, record_name
from dmarcops.dkim.rotation import adopt
from dmarcops.errors import UnsafeChangeError
from dmarcops.flows.outside import Outside
from dmarcops.ports import SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.store import audit, keys
from dmarcops.store.engine import Store


def adopt_key(store: Store, outside: Outside, selector: str, private: PrivateKey, *, now: datetime, who: str) -> Key:
    """
    Take in a key.

    Args:
        store: Where keys are.
        outside: What the domain's rotation works with.
        selector: The selector that mail is signed with.
        private: The private key; a short one is taken too, so that it can be replaced.
        now: When.
        who: Who does it.

    Raises:
        UnsafeChangeError: An authoritative server has another record, or none.
        Refused: The selector is known already, or another key signs.
        DmarcopsError: It cannot be kept, or DNS cannot be asked.
    """
    plan = outside.plan
    name, ours = record_name(selector, plan.domain), format_record(private.record)
    published = ours
    for server, texts in outside.resolver.authoritative(name).items():
        found = compare(texts, ours)
        if not found.is_ours:
            raise UnsafeChangeError(
                "authoritative",
                f"{server} for {name}: {found.detail} ({found.outcome})",
                hint="the key to be imported is the one that mail is signed with now",
            )
        published = texts[0]
    with store.exclusive(plan.domain):
        known = keys.load(store, plan.domain)
        key = Key(
            reference=outside.keystore.reference(Domain(plan.domain), Selector(selector)),
            domain=plan.domain,
            selector=selector,
            algorithm=private.algorithm,
            bits=private.bits,
            stage=Stage.ACTIVE,
            since=now,
            created=now,
            record=published.decode(),
        )
        adopted = adopt(known.keys, key)
        wanted = SigningKey(Domain(plan.domain), Selector(selector), private.algorithm.value, private.pem())
        outside.keystore.save(wanted)
        event = audit.Event(domain=plan.domain, who=who, action="dkim-import", detail=f"{selector} from {name}")
        saved = keys.save(store, known, adopted, now, events=[event])
    return next(each for each in saved.keys if each.selector == selector)
