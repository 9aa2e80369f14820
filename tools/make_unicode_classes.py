#!/usr/bin/env python3
r"""Writes src/text/unicode_tables.c: the sets of code points that tokenizer pipelines speak of.

    python tools/make_unicode_classes.py tests/data/tokenizers/unicode-classes.json src/text/unicode_tables.c

The tokenizers library (0.23) mixes several Unicode versions: its patterns (Oniguruma) have 16.0, Rust's own character
methods 17.0, the Punctuation pre-tokenizer 8.0 and the normal forms 9.0. So every set is measured from the library
itself, as unicode-classes.json was; what both hold is compared. Needs the Python package `tokenizers`.
"""
import json
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(ALL)
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SCRIPTS = "Arabic Cyrillic Devanagari Greek Han Hangul Hebrew Hiragana Katakana Latin Thai".split()


def matching(negated):
    """The characters that a pattern for everything else leaves standing."""
    return set(normalizers.Replace(Regex(negated), "").normalize_str(TEXT))


def isolated(pre_tokenizer):
    return {c for c in ALL if c != "a" and len(pre_tokenizer.pre_tokenize_str(f"a{c}a")) == 3}


def ranges(chars):
    out = []
    for c in sorted(map(ord, chars)):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def members(pairs):
    return {chr(c) for first, last in pairs for c in range(first, last + 1)}


def category_runs(sets):
    """(first code point, category) wherever the category changes; surrogates are Cn (no text holds one)."""
    of = {ord(c): i for i, name in enumerate(CATEGORIES) for c in sets[name]}
    runs = []
    for c in range(0x110000):
        category = of.get(c, CATEGORIES.index("Cn"))
        if not runs or runs[-1][1] != category:
            runs.append((c, category))
    return runs


def lower_runs():
    """(first, last, step, delta): every step-th code point of the range becomes itself + delta. Only U+0130 becomes two."""
    lower = normalizers.Lowercase()
    runs = []
    for c in ALL:
        low = lower.normalize_str(c)
        if low == c:
            continue
        if len(low) != 1:
            assert c == "\u0130" and low == "i\u0307"
            continue
        at, delta = ord(c), ord(low) - ord(c)
        if runs and runs[-1][3] == delta and at - runs[-1][1] in ((1, 2) if runs[-1][2] == 0 else (runs[-1][2],)):
            runs[-1][2] = at - runs[-1][1]
            runs[-1][1] = at
        else:
            runs.append([at, at, 0, delta])
    return [(a, b, step or 1, delta) for a, b, step, delta in runs]


def normalizable():
    """Characters that a normal form can change, move or join with a neighbour."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    out = set()
    for c in ALL:
        if nfkd.normalize_str(c) != c:
            out |= {c} | set(nfd.normalize_str(c))
        moves_left = nfd.normalize_str(f"a\u0301{c}") != f"a\u0301{c}"
        lets_pass = nfd.normalize_str(f"a{c}\u0334") != f"a{c}\u0334"
        if moves_left or lets_pass:
            out.add(c)
    return out


def rows(items, width=118):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > width:
            lines.append(line)
            line = "   "
        line += " " + item + ","
    return "\n".join(lines + [line])


def table(name, comment, pairs):
    body = rows(f"{{0x{a:X}, 0x{b:X}}}" for a, b in pairs)
    return (f"/* {comment} */\nconst plumb_range plumb_unicode_{name}[] = {{\n{body}\n}};\n"
            f"const size_t plumb_unicode_{name}_count = {len(pairs)};\n")


def main():
    known = json.load(open(sys.argv[1]))
    sets = {name: matching(r"\P{%s}" % name) for name in CATEGORIES}
    union = lambda *prefixes: set().union(*(sets[n] for n in CATEGORIES if n.startswith(prefixes)))
    space, letters, digits = members(known["s"]), union("L"), sets["Nd"]
    word = members(known["w"]) | {"Q"}  # measured beside a Q, which the list therefore lacks
    alphabetic = matching("[^[:alpha:]]")
    # What the comments in unicode_classes.c rest on:
    assert letters == members(known["L"]) and union("N") == members(known["N"]) and space == members(known["strip"])
    assert matching(r"\S") == space and matching(r"\D") == digits and matching("[^[:punct:]]") == union("P", "S")
    assert matching(r"\W") == word - set("\u200c\u200d") | set("\xb2\xb3\xb9\xbc\xbd\xbe")
    assert matching("[^[:word:]]") == word - set("\u200c\u200d") and matching("[^[:cntrl:]]") == sets["Cc"]
    assert matching("[^[:blank:]]") == sets["Zs"] | {"\t"} and matching("[^[:alnum:]]") == alphabetic | digits
    base = letters | union("M") | digits | sets["Pc"]
    assert word > base
    numeric = isolated(pre_tokenizers.Digits(individual_digits=True))
    assert numeric > union("N")

    runs = category_runs(sets)
    lower = lower_runs()
    out = ["/* Generated by tools/make_unicode_classes.py from the tokenizers library; not edited by hand. */",
           "/* clang-format off */", '#include "text/unicode_tables.h"', "",
           "/* (first code point << 8) | category, up to the next entry. */",
           "const uint32_t plumb_unicode_categories[] = {",
           rows(f"0x{c << 8 | category:X}" for c, category in runs), "};",
           f"const size_t plumb_unicode_categories_count = {len(runs)};", "",
           "/* Lower case: every step-th code point from first to last becomes itself + delta. */",
           "const plumb_lower_run plumb_unicode_lower[] = {",
           rows(f"{{0x{a:X}, 0x{b:X}, {step}, {delta}}}" for a, b, step, delta in lower), "};",
           f"const size_t plumb_unicode_lower_count = {len(lower)};", "",
           table("space", "White_Space.", ranges(space)),
           table("word_extra", "Rust's \\w beyond letters, marks, Nd and Pc.", ranges(word - base)),
           table("alphabetic_extra", "Alphabetic beyond letters.", ranges(alphabetic - letters)),
           table("numeric_extra", "char::is_numeric beyond N.", ranges(numeric - union("N"))),
           table("punctuation", "What the Punctuation pre-tokenizer splits at.",
                 ranges(isolated(pre_tokenizers.Punctuation("isolated")))),
           table("normalizable", "What a normal form can change, move or join with a neighbour.", ranges(normalizable()))]
    out += [table("script_" + name.lower(), f"Script={name}.", ranges(matching(r"\P{%s}" % name))) for name in SCRIPTS]
    with open(sys.argv[2], "w") as f:
        f.write("\n".join(out))


if __name__ == "__main__":
    main()
