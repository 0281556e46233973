"""
Elements of a report by local name, whatever the namespace, prefix or case (RFC 9990 section 3.1.1.1). Does no I/O.

What neither schema knows is kept as an `Extension`; what stands where it should not is noted.
"""

from collections.abc import Mapping

from lxml import etree

from dmarcops.errors import ReportError
from dmarcops.report.limits import Limits
from dmarcops.report.model import Extension
from dmarcops.report.notes import Notes

MAX_EXTENSIONS = 100
"""Unknown elements of one report or evaluation that are kept; further ones are noted as `more-extensions`."""
_EXTENSION_LENGTH = 4096

ALIASES: Mapping[str, str] = {"identities": "identifiers", "t": "testing"}
"""Names that some reporters write for the schema's (field practice; noted as `renamed-element`)."""


class Names(dict[str, str]):
    """Local names in lower case of tags in lxml's notation (`{namespace}name`), each worked out once."""

    def __missing__(self, tag: str) -> str:
        """Work out the name of a tag met for the first time."""
        name = self[tag] = tag.rpartition("}")[2].lower()
        return name


class Fields:
    """
    The children of one element, by local name.

    Args:
        reader: What reads the element.
        element: The element.
        path: Its path in the report.
        schema: The names that may stand in it, in the schema's order.
    """

    __slots__ = ("_children", "path", "reader")

    def __init__(self, reader: "Reader", element: etree._Element, path: str, schema: tuple[str, ...]) -> None:
        self.reader = reader
        self.path = path
        self._children: dict[str, list[etree._Element]] = {}
        names, children = reader.names, self._children
        stray = element.text
        for child in element:
            if stray and stray.strip():
                reader.notes.add("stray-text", path, stray.strip())
            stray = child.tail
            name = names[child.tag]
            if name not in schema:
                alias = ALIASES.get(name)
                if alias not in schema:
                    reader.keep(child, path)
                    continue
                reader.notes.add("renamed-element", f"{path}/{alias}", name)
                name = alias
            if name in children:
                children[name].append(child)
            else:
                children[name] = [child]
        if stray and stray.strip():
            reader.notes.add("stray-text", path, stray.strip())

    def check_order(self, schema: tuple[str, ...]) -> None:
        """Note when known children do not stand in the schema's order (RFC 9990 sections 3.1.1.7, .9, .11)."""
        places = [schema.index(name) for name in self._children]
        if places != sorted(places):
            self.reader.notes.add("element-order", self.path, " ".join(self._children))

    def all(self, name: str) -> list[etree._Element]:
        """All children of that name."""
        return self._children.get(name, [])

    def one(self, name: str) -> etree._Element | None:
        """The first child of that name; further ones are noted."""
        found = self._children.get(name)
        if not found:
            return None
        if len(found) > 1:
            self.reader.notes.add("repeated-element", f"{self.path}/{name}", str(len(found)))
        return found[0]

    def check_once(self, *names: str) -> None:
        """Note which of these children stand there more than once."""
        for name in names:
            self.one(name)

    def text(self, name: str) -> str | None:
        """The text of the first child of that name that has one, without surrounding white space."""
        found = self._children.get(name)
        if not found:
            return None
        first = found[0]
        if len(found) == 1 and not len(first) and len(first.text or "") <= self.reader.limits.text_length:
            # What nearly every element is.
            return (first.text or "").strip() or None
        path = f"{self.path}/{name}"
        if len(found) == 1:
            return self.reader.text(first, path)
        texts = [text for child in found if (text := self.reader.text(child, path)) is not None]
        self.reader.notes.add("repeated-element", path, " | ".join(texts))
        return texts[0] if texts else None

    def required(self, name: str) -> str | None:
        """The same, noted when absent or empty."""
        text = self.text(name)
        if text is None:
            self.reader.notes.add("missing-element", f"{self.path}/{name}")
        return text


class Reader:
    """Reads elements; holds what all of one pass share: limits, notes, names, and the unknown elements met."""

    def __init__(self, limits: Limits, notes: Notes) -> None:
        self.limits = limits
        self.notes = notes
        self.names = Names()
        self._extensions: list[Extension] = []

    def fields(self, element: etree._Element, path: str, schema: tuple[str, ...]) -> Fields:
        """Give the children of the element."""
        return Fields(self, element, path, schema)

    def text(self, element: etree._Element, path: str) -> str | None:
        """
        Give the element's text without surrounding white space, None when there is none.

        Raises:
            ReportError: `text-too-long`.
        """
        text = element.text or ""
        if len(element):
            self.notes.add("stray-element", path, self.names[element[0].tag])
            text = "".join(map(str, element.itertext()))
        if len(text) > self.limits.text_length:
            raise ReportError("text-too-long", f"the text of {path} is longer than {self.limits.text_length}")
        return text.strip() or None

    def keep(self, element: etree._Element, path: str) -> None:
        """Keep an element that the schema does not know."""
        if len(self._extensions) >= MAX_EXTENSIONS:
            self.notes.add("more-extensions", path)
            return
        xml = etree.tostring(element, encoding="unicode", with_tail=False)[:_EXTENSION_LENGTH]
        self._extensions.append(Extension(f"{path}/{self.names[element.tag]}", xml))

    def take_extensions(self) -> tuple[Extension, ...]:
        """The unknown elements kept since the last call."""
        taken = tuple(self._extensions)
        self._extensions.clear()
        return taken

    def put_back(self, extensions: tuple[Extension, ...]) -> None:
        """Put back what `take_extensions` gave, before what was kept since."""
        self._extensions[:0] = extensions
