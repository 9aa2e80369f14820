"""Opens a report in headless Chromium over its debugging pipe (standard library only).

    report_page.py CHROMIUM PAGE.html [--figures N]

Prints one line for each thing that is wrong and exits 1 when there is one: a console message or an exception, a request
to the network, a figure that was not drawn, text that runs out of the page at phone width, a dot or a table's button
that does not open its pair, keys that do not, a theme that does not change. Chromium that cannot start is exit 77.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile


class Browser:
    """One page; commands of the DevTools protocol, NUL-separated JSON over file descriptors 3 and 4."""

    def __init__(self, program, profile):
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        saved = {3: to_browser, 4: from_browser}

        def place():
            os.dup2(os.dup(saved[3]), 13)
            os.dup2(os.dup(saved[4]), 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars",
             "--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={profile}"],
            pass_fds=(3, 4, to_browser, from_browser), preexec_fn=place, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def receive(self):
        while b"\0" not in self.buffer:
            bytes_read = os.read(self.read_end, 1 << 20)
            if not bytes_read:
                raise EOFError("the browser is gone")
            self.buffer += bytes_read
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, path):
        self.events = []
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.receive())

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description", "exception"))
        return result["result"].get("value")

    def width(self, pixels, height=900, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=pixels, height=height, deviceScaleFactor=1, mobile=phone)

    def media(self, kind="", dark=False):
        self.call("Emulation.setEmulatedMedia", media=kind,
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, name, code):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def close(self):
        try:
            self.call("Browser.close")
        except (EOFError, RuntimeError, OSError):
            pass
        self.process.wait(timeout=30)


DRAWN = """[...document.querySelectorAll("figure")].map(figure => {
    const marks = [...figure.querySelectorAll("svg path, svg rect, svg circle, .tokens .t")];
    const seen = marks.filter(mark => { const box = mark.getBoundingClientRect(); return box.width + box.height > 0; });
    const named = [...figure.querySelectorAll("svg")].every(svg => svg.getAttribute("aria-label"));
    const bad = [...figure.querySelectorAll("svg *")].some(mark => /NaN|inf/.test(mark.outerHTML.slice(0, 300)));
    return [figure.id, seen.length, figure.querySelectorAll("table tbody tr").length,
            figure.querySelector("a[download]").href.startsWith("data:text/csv"), named, bad];
})"""

# A dot that nothing else covers.
DOT = """(() => {
    for (const dot of document.querySelectorAll("circle[data-p]")) {
        dot.scrollIntoView({block: "center", behavior: "instant"});
        const box = dot.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
        if (document.elementFromPoint(x, y) === dot) return [x, y, dot.dataset.p];
    }
    return null;
})()"""

OPENED = """(() => { const d = document.getElementById("pair");
    return d.open ? [document.getElementById("pair-title").textContent, d.innerText] : null; })()"""

CLIPPED = """(() => {
    const wide = document.documentElement.scrollWidth - innerWidth;
    const out = [...document.querySelectorAll("svg text")].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width && (box.left < -1 || box.right > innerWidth + 1);
    }).map(text => text.textContent);
    return [wide, out];
})()"""


def messages(browser):
    for event in browser.events:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            yield "console: " + json.dumps(parameters.get("args"))[:300]
        elif method == "Runtime.exceptionThrown":
            yield "exception: " + json.dumps(parameters.get("exceptionDetails"))[:500]
        elif method == "Log.entryAdded":
            yield "log: " + parameters["entry"]["text"][:300]
        elif method == "Network.requestWillBeSent" and not parameters["request"]["url"].startswith(("file:", "data:")):
            yield "request: " + parameters["request"]["url"][:200]


def check_figures(browser, wanted):
    figures = browser.evaluate(DRAWN)
    if wanted is not None and len(figures) != wanted:
        yield f"{len(figures)} figures, expected {wanted}"
    for name, marks, rows, csv, named, bad in figures:
        if marks < 3:
            yield f"{name}: only {marks} marks are drawn"
        if not rows:
            yield f"{name}: its table is empty"
        if not csv:
            yield f"{name}: no CSV"
        if not named:
            yield f"{name}: a drawing without a name for screen readers"
        if bad:
            yield f"{name}: a coordinate that is no number"


def check_opening(browser):
    place = browser.evaluate(DOT)
    if place is None:
        return
    browser.click(place[0], place[1])
    opened = browser.evaluate(OPENED)
    if not opened or not opened[0].startswith("Pair "):
        yield f"a click on dot {place[2]} opened nothing"
    browser.key("Escape", 27)
    if browser.evaluate(OPENED):
        yield "Escape does not close the pair"
    if not browser.evaluate("!!document.querySelector('.panel[tabindex]')"):
        yield "no figure can be reached with the tab key"
        return
    browser.evaluate("document.querySelector('.panel[tabindex]').focus()")
    browser.key("ArrowRight", 39)
    browser.key("ArrowRight", 39)
    if not browser.evaluate("document.getElementById('spoken').textContent"):
        yield "arrow keys say nothing"
    browser.key("Enter", 13)
    if not browser.evaluate(OPENED):
        yield "Enter on a dot opens nothing"
    browser.evaluate("document.getElementById('pair-close').click()")
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.evaluate("document.querySelector('button.pair').click()")
    if not browser.evaluate(OPENED):
        yield "a button of a table opens nothing"
    browser.evaluate("document.getElementById('pair-close').click()")
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false; })")


def check_forms(browser):
    background = "getComputedStyle(document.body).backgroundColor"
    before = browser.evaluate(background)
    browser.evaluate("document.getElementById('theme').click()")
    if browser.evaluate(background) == before:
        yield "the switch between light and dark changes nothing"
    browser.evaluate("document.getElementById('theme').click()")
    browser.media(dark=True)
    if browser.evaluate("delete document.documentElement.dataset.theme; " + background) == before:
        yield "the system's dark scheme changes nothing"
    browser.media("print", dark=True)
    if browser.evaluate(background) != "rgb(255, 255, 255)":
        yield "print is not on white"
    browser.media()
    for width in (375, 1280):
        browser.width(width, phone=width < 500)
        wide, out = browser.evaluate(CLIPPED)
        if wide > 0:
            yield f"at {width} px the page is {wide} px too wide"
        for text in out:
            yield f"at {width} px a label leaves the page: {text}"


def main(arguments):
    program, page = arguments[0], arguments[1]
    wanted = int(arguments[arguments.index("--figures") + 1]) if "--figures" in arguments else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            browser = Browser(program, profile)
        except (OSError, EOFError) as error:
            print(f"chromium does not start: {error}")
            return 77
        browser.media()
        browser.width(1280)
        browser.open(page)
        wrong = [*check_figures(browser, wanted), *check_opening(browser), *check_forms(browser)]
        wrong += messages(browser)
        browser.close()
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
