"""The format of a table in a text file: encoding, comments, delimiter, header and line ends.

What is detected is written into notes; ``Reading`` overrules it.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ArgumentError
from ..notes import Argument, Note, message
from ._compression import check_size
from ._formatting import format_list, source_error
from ._magic_numbers import describe_content
from ._number_texts import classify_cell
from ._reading import Reading

DELIMITERS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ",", "blank": " "}
SAMPLE_BYTES, SAMPLE_LINES = 1 << 18, 200  # the beginning of a file, which decides its format
MIN_SAMPLE_LINES = 6  # also of lines that are longer
BYTES_PER_CELL = 100  # of memory that a cell of the sample needs
CONSISTENT_SHARE = 0.9  # of the sampled lines, which have as many cells as most lines
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[ \t]*\n', re.IGNORECASE)
_ALIGNED_NUMBERS = re.compile(r"\d {2,}[\d.+-]")  # with blanks between columns
_NUMBERED_NAME = re.compile(r"column_\d+")  # of a table without a header
_COMMENT_LINE = re.compile(rb"^#[^\n]*", re.MULTILINE)
_BLANK_SEPARATED_CELL = re.compile(r'"[^"]*"|[^\s"]+')


@dataclass(frozen=True)
class TextTable:
    """A table in a text file, ready for a CSV reader.

    Args:
        rows: The lines of data in UTF-8, with ``\\n`` at their ends and without the header.
        delimiter: The character between cells.
        names: The names of the columns.
        first_line: The number of the first line of data in the file.
        comments: Whether lines that begin with ``#`` are comments.
        notes: What was detected, where it is not what a reader expects.
    """

    rows: bytes
    delimiter: str
    names: tuple[str, ...]
    first_line: int = 1
    comments: bool = False
    notes: tuple[Note, ...] = ()


def parse_text_table(
    content: bytes, reading: Reading, origin: str, columns: Sequence[str] | None = None
) -> TextTable:
    """Find the format of a text file.

    Args:
        content: The bytes of the file.
        reading: What is not to be detected.
        origin: The file as the subject of a sentence.
        columns: Names that the table must have; they decide whether there is a header.

    Raises:
        DataError: The content is not text, or not in the encoding.
        ArgumentError: The encoding or the delimiter is not known.
    """
    content, notes = decode_text(content, reading.encoding, origin)
    content = _normalise_lines(content)
    start = len(content) - len(content.lstrip(b"\n"))
    delimiter = None if reading.delimiter is None else resolve_delimiter(reading.delimiter)
    if match := _SEPARATOR_LINE.match(content, start):
        delimiter, start = delimiter or match[1].decode(), match.end()
    comment, start = _skip_comments(content, start)
    marks = max(content.count(mark, start, _sample_end(content, start)) for mark in b"\t;|, ")
    check_size(marks * BYTES_PER_CELL, origin, reading.allow_large)
    delimiter = delimiter or _detect_delimiter(_sample(content, start))
    if delimiter == " ":
        content, delimiter = content[:start] + _blanks_to_tabs(content[start:]), "\t"
    content = _without_blanks_before_quotes(content, start, delimiter)
    return _with_header(content, start, delimiter, comment, reading.header, columns, notes)


def decode_text(
    content: bytes, encoding: str | None, origin: str
) -> tuple[bytes, tuple[Note, ...]]:
    """The content in UTF-8, and a note where its encoding is another one and was detected.

    Raises:
        DataError: The content is not text, or not in the encoding.
        ArgumentError: The encoding is not known.
    """
    if encoding is not None:
        return _decode_as(content, encoding, origin).encode(), ()
    found = _detect_encoding(content, origin)
    if found in ("utf-8", "utf-8-sig"):
        return content.removeprefix(codecs.BOM_UTF8), ()
    note = Note("encoding_detected", f"Read the text as {found}.", data={"encoding": found})
    return _decode_as(content, found, origin).encode(), (note,)


def resolve_delimiter(delimiter: str) -> str:
    """The character of a delimiter that is given by its name or as itself.

    Raises:
        ArgumentError: It is neither a name nor a single character.

    >>> resolve_delimiter("tab"), resolve_delimiter(";")
    ('\\t', ';')
    """
    found = DELIMITERS.get(delimiter, delimiter.encode().decode("unicode_escape"))
    if len(found.encode()) == 1:
        return found
    raise ArgumentError(
        f"give one character, or {format_list(DELIMITERS)}", argument="delimiter", value=delimiter
    )


def _detect_encoding(content: bytes, origin: str) -> str:
    """The encoding: by its byte order mark, UTF-16 by its zero bytes, UTF-8, or cp1252."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    head = content[:SAMPLE_BYTES]
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[place::2].count(0) > 0.4 * len(head[place::2]) and not head[1 - place :: 2].count(
            0
        ):
            return encoding
    if b"\0" in head:
        raise source_error(
            f"{origin} is not text{describe_content(head, ': it holds ')}",
            "Give the file the ending of its format",
        )
    try:
        content.decode()
    except UnicodeDecodeError as error:
        if _is_cp1252(content):
            return "cp1252"
        raise _encoding_error(content, "UTF-8", error, origin) from error
    return "utf-8"


def _is_cp1252(content: bytes) -> bool:
    """Whether the content is text in the encoding of Western Windows systems."""
    try:
        return _CONTROL_CHARACTERS.search(content.decode("cp1252")) is None
    except UnicodeDecodeError:
        return False


def _decode_as(content: bytes, encoding: str, origin: str) -> str:
    """The text in an encoding."""
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise ArgumentError(
            "this encoding is not known",
            argument="encoding",
            value=encoding,
            suggestions=(
                message("Write {encoding}, for instance", encoding=Argument("encoding", "cp1252")),
            ),
        ) from error
    except UnicodeDecodeError as error:
        raise _encoding_error(content, encoding, error, origin) from error


def _encoding_error(content: bytes, encoding: str, error: UnicodeDecodeError, origin: str):
    """The error for a byte that an encoding does not have."""
    line = content.count(b"\n", 0, error.start) + 1
    return source_error(
        f"{origin} is not {encoding}: byte 0x{content[error.start]:02x} at line {line:,}",
        message("Try {encoding}", encoding=Argument("encoding", "latin-1")),
    )


def _normalise_lines(content: bytes) -> bytes:
    """The content with ``\\n`` at the end of every line, and none at its end."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content.rstrip(b"\n \x1a")


def _skip_comments(content: bytes, start: int) -> tuple[str | None, int]:
    """The last comment before the table without its mark, and where the table begins."""
    comment = None
    while content.startswith(b"#", start):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        comment, start = content[start:end].lstrip(b"# "), min(end + 1, len(content))
    return None if comment is None else comment.decode(errors="replace"), start


def _sample_end(content: bytes, start: int) -> int:
    """Where the sample ends: after ``SAMPLE_BYTES``, and not before a few lines."""
    end = start
    for _ in range(MIN_SAMPLE_LINES):
        end = content.find(b"\n", end) + 1
        if not end:
            return len(content)
    return min(max(end, start + SAMPLE_BYTES), len(content))


def _sample(content: bytes, start: int) -> list[str]:
    """The first lines that are neither empty nor comments."""
    end = _sample_end(content, start)
    lines = content[start:end].decode(errors="replace").split("\n")
    complete = lines[:-1] if end < len(content) else lines
    return [line for line in complete if line.strip() and not line.startswith("#")][:SAMPLE_LINES]


def split_cells(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The cells of lines, without blanks around them; quotation marks may hold delimiters."""
    if delimiter == " ":
        return [[cell.strip('"') for cell in _BLANK_SEPARATED_CELL.findall(line)] for line in lines]
    reader = csv.reader(
        io.StringIO("\n".join(lines), newline=""), delimiter=delimiter, skipinitialspace=True
    )
    try:
        return [[cell.strip() for cell in row] for row in reader]
    except csv.Error:
        return [line.split(delimiter) for line in lines]


def _detect_delimiter(lines: list[str]) -> str:
    """The delimiter that splits the lines into equal numbers of cells."""
    aligned = sum(_ALIGNED_NUMBERS.search(line) is not None for line in lines) > len(lines) / 2
    for delimiter in " \t" if aligned else DELIMITERS.values():
        if _is_consistent([len(row) for row in split_cells(lines, delimiter)]):
            return delimiter
    first = lines[0] if lines else ""
    most = max(",;\t|", key=first.count)
    unused = (mark for mark in ",;\t|" if not any(mark in line for line in lines))
    return most if most in first else next(unused, most)  # a single column, perhaps with commas


def _is_consistent(sizes: list[int]) -> bool:
    """Whether nearly all lines have as many cells, and the first as many or one fewer."""
    if not sizes:
        return False
    (most, count), *_ = Counter(sizes[1:] or sizes).most_common()
    return (
        most > 1
        and count >= CONSISTENT_SHARE * len(sizes[1:] or sizes)
        and (sizes[0] == most or 1 < sizes[0] == most - 1)
    )


def _blanks_to_tabs(rows: bytes) -> bytes:
    """The lines with one tab in place of blanks between cells, outside of quotation marks."""
    rows = re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", rows)
    if b'"' not in rows:
        return re.sub(rb"[ \t]+", b"\t", rows)
    return re.sub(rb'("[^"\n]*")|[ \t]+', lambda match: match[1] or b"\t", rows)


def _without_blanks_before_quotes(content: bytes, start: int, delimiter: str) -> bytes:
    """The content without blanks between a delimiter and a quotation mark, from ``start`` on."""
    mark = delimiter.encode()
    if delimiter == "\t" or mark + b' "' not in content:
        return content
    return content[:start] + re.sub(re.escape(mark) + rb' +"', mark + b'"', content[start:])


def _with_header(
    content: bytes,
    start: int,
    delimiter: str,
    comment: str | None,
    wanted: bool | None,
    columns: Sequence[str] | None,
    notes: tuple[Note, ...],
) -> TextTable:
    """The table with names for its columns: of the header, of the last comment, or numbers."""
    cells = split_cells(_sample(content, start), delimiter)
    sizes = Counter(len(row) for row in cells[1:] or cells)
    width = sizes.most_common(1)[0][0] if sizes else 0
    if wanted is None and columns and cells:
        numbered = all(_NUMBERED_NAME.fullmatch(name) for name in columns)
        wanted = True if set(columns) <= set(cells[0]) else False if numbered else None
    header = bool(cells) and (is_header(cells) if wanted is None else wanted)
    commented = [] if comment is None or wanted is False else _comment_cells(comment, delimiter)
    if len(commented) == width > 1 and not (header and wanted is None):
        names, header = commented, False
    elif header:
        names = cells[0]
    else:
        names = [f"column_{i + 1}" for i in range(width)]
        notes = (*notes, _header_note(names)) if wanted is None else notes
    if header:
        start = _next_row(content, start)
    padded = _pad_names(names, cells, width)
    renamed = [new for old, new in zip(padded, unique_names(padded), strict=True) if new != old]
    if renamed:
        text = f"Names of columns occur twice; the later columns are {format_list(renamed)}."
        notes = (*notes, Note("columns_renamed", text, "warning", {"columns": renamed}))
    return TextTable(
        content[start:],
        delimiter,
        unique_names(padded),
        content.count(b"\n", 0, start) + 1,
        comment is not None or _has_comments(content, start, delimiter, width),
        notes,
    )


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds names.

    It does where a column of numbers begins with text, and where it counts (0, 1, 2 ... or years).
    It does not where it holds other numbers, or only texts of which one comes back in its column.

    >>> is_header([["a", "b"], ["1", "x"]]), is_header([["45", "Private"], ["28", "Private"]])
    (True, False)
    """
    first, others = rows[0], rows[1:]
    shift = 1 if others and len(others[0]) == len(first) + 1 else 0
    columns = [
        [row[i + shift] for row in others if i + shift < len(row)] for i in range(len(first))
    ]
    kinds = [classify_cell(cell) for cell in first]
    below = [_column_kind(column) for column in columns]
    if any(
        (kind == "text" and column != "text") or (kind, column) == ("decorated", "number")
        for kind, column in zip(kinds, below, strict=True)
    ):
        return True
    if "number" in kinds:
        return _counts(first, others)
    if "decorated" in kinds or not others:
        return "decorated" not in kinds
    return not any(cell and cell in column for cell, column in zip(first, columns, strict=True))


def _column_kind(cells: Sequence[str]) -> str:
    """``"number"`` or ``"decorated"`` where nearly all cells that are not empty are; ``"text"``."""
    kinds = Counter(map(classify_cell, cells))
    filled = kinds.total() - kinds["empty"]
    numbers = kinds["number"] + kinds["decorated"]
    if not numbers or numbers < CONSISTENT_SHARE * filled:
        return "text"
    return "number" if kinds["number"] else "decorated"


def _counts(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether the numbers of the first row are 0, 1, 2 ... or years, and those of others not."""
    numbers = [cell for cell in first if classify_cell(cell) == "number"]
    if not all(cell.isdecimal() for cell in numbers) or len(numbers) < 2:
        return False
    whole = [int(cell) for cell in numbers]
    steps = {after - before for before, after in itertools.pairwise(whole)}
    years = len(whole) > 2 and 1500 < whole[0] < 2200 and len(steps) == 1 and min(steps) > 0
    if whole != list(range(len(whole))) and not years:
        return False
    return not all(cell.isdecimal() for row in others for cell in row[-len(whole) :])


def _next_row(content: bytes, start: int) -> int:
    """Where the line after the first one begins; quotation marks may hold line ends."""
    quoted, end = False, start
    while True:
        end = content.find(b"\n", end)
        if end < 0:
            return len(content)
        quoted = content.count(b'"', start, end) % 2 == 1
        end += 1
        if not quoted:
            return end


def _comment_cells(comment: str, delimiter: str) -> list[str]:
    """The cells of a comment, by the delimiter or by blanks."""
    cells = split_cells([comment], delimiter)[0] if comment else []
    return cells if len(cells) > 1 else comment.split()


def _pad_names(names: list[str], cells: list[list[str]], width: int) -> list[str]:
    """The names of all columns, where the header has one cell fewer than the rows.

    The first column then holds names of rows, unless the last cells are empty.
    """
    if len(names) != width - 1:
        return names
    trailing = all(row[-1] == "" for row in cells[1:] if len(row) == width)
    return [*names, ""] if trailing else ["", *names]


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names with a number behind those that came before.

    >>> unique_names(["a", "b", "a", "a"])
    ('a', 'b', 'a_2', 'a_3')
    """
    taken: dict[str, None] = {}
    for name in names:
        candidates = itertools.chain([name], (f"{name}_{k}" for k in itertools.count(2)))
        taken[next(each for each in candidates if each not in taken)] = None
    return tuple(taken)


def _has_comments(content: bytes, start: int, delimiter: str, width: int) -> bool:
    """Whether lines that begin with ``#`` are comments: one has another number of cells."""
    if b"\n#" not in content:  # 20 times as fast as the pattern
        return False
    lines = [match[0].decode(errors="replace") for match in _COMMENT_LINE.finditer(content, start)]
    return any(width == 1 or len(row) != width for row in split_cells(lines, delimiter))


def _header_note(names: list[str]) -> Note:
    """The note about a file without a header."""
    return Note(
        "header_missing",
        message(
            f"The first line holds data, so the columns are named {format_list(names, 3)}. If it "
            "holds names, write {header}.",
            header=Argument("header", True),
        ),
        data={"columns": names},
    )
