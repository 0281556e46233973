"""DNS data for tests of the policy, which remembers what was asked."""

from dmarcops.policy.answers import Answer, AnswerKind

TEMPERROR = "temperror"
NODATA = "nodata"


class Zone:
    """TXT records by name; a name that is not given does not exist."""

    def __init__(self, names: dict[str, str | list[str]]) -> None:
        self._names = names
        self.asked: list[str] = []

    def __call__(self, name: str) -> Answer:
        self.asked.append(name)
        texts = self._names.get(name)
        if texts is None:
            return Answer(AnswerKind.NXDOMAIN)
        if texts == TEMPERROR:
            return Answer(AnswerKind.TEMPERROR)
        if texts == NODATA:
            return Answer(AnswerKind.NODATA)
        return Answer(AnswerKind.FOUND, tuple([texts] if isinstance(texts, str) else texts))


def published(records: dict[str, str | list[str]]) -> Zone:
    """DMARC records by domain."""
    return Zone({f"_dmarc.{domain}": texts for domain, texts in records.items()})
