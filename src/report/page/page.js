
"use strict";
// Opening pairs, tips, and the switch between light and dark. Everything else on the page works without this script. Texts
// of the data go into the page as text nodes only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dialog = document.getElementById("pair");
  const body = document.getElementById("pair-body");
  const tip = document.getElementById("tip");
  const spoken = document.getElementById("spoken");

  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const number = (value) => {
    if (value === null) return "–";
    const size = Math.abs(value);
    const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
    return value.toFixed(digits).replace("-", "−");
  };

  // ---- the pair panel ----

  const rows = (pair) => {
    const table = element("table");
    const add = (label, value) => {
      const row = table.insertRow();
      row.insertCell().textContent = label;
      row.insertCell().textContent = value;
    };
    data.runs.forEach((run, i) => {
      const change = pair.d[i];
      if (!change) return;
      const where = data.runs.length > 1 ? " (" + run + ")" : "";
      add("change of ln π, chosen" + where, number(change[0]));
      add("change of ln π, rejected" + where, number(change[1]));
    });
    data.measures.forEach((measure, i) => {
      if (pair.m[i] !== null) add(measure, number(pair.m[i]));
    });
    if (pair.v) add("where the probability went", pair.v);
    add("hash of the row", pair.h);
    return table;
  };

  // Tokens coloured by blame: levels -5..5, as the style sheet's classes.
  const coloured = (tokens, levels) => {
    const block = element("div", "text");
    tokens.forEach((token, i) => {
      const level = levels[i];
      block.append(element("span", "t " + (level > 0 ? "h" + level : level < 0 ? "c" + -level : "z"), token));
    });
    return block;
  };

  const side = (pair, name, which) => {
    body.append(element("h3", name, name[0].toUpperCase() + name.slice(1)));
    const blame = pair.b && which > 0 ? pair.b[which - 1] : null;
    const block = blame ? coloured(blame[0], blame[1]) : element("div", "text", pair.t[which]);
    if (name !== "prompt") block.classList.add(name);
    block.dir = "auto";
    body.append(block);
    if (blame ? blame[2] : pair.k[which]) body.append(element("p", "note", "Cut after " + data.limit + " bytes."));
  };

  const open = (position) => {
    const pair = data.pairs[position];
    if (!pair) return;
    hide();
    document.getElementById("pair-title").textContent = "Pair " + pair.i;
    body.replaceChildren(rows(pair));
    if (pair.t) {
      side(pair, "prompt", 0);
      side(pair, "chosen", 1);
      side(pair, "rejected", 2);
      if (pair.b) body.append(element("p", "note",
        "Orange tokens push the chosen response down, blue ones hold it up (blame; the strongest colour is the largest)."));
    } else {
      body.append(element("p", "note", "The texts are not part of this report: give plumb report the data file too."));
    }
    dialog.showModal();
    dialog.scrollTop = 0;
    document.getElementById("pair-title").focus();
  };

  document.getElementById("pair-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("circle[data-p], button[data-pair]");
    if (target) open(target.dataset.p || target.dataset.pair);
  });

  // ---- tips and keys on the dots ----

  const hide = () => { tip.hidden = true; };

  const show = (target, text) => {
    const box = target.getBoundingClientRect();
    tip.textContent = text;
    tip.hidden = false;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = left + "px";
    tip.style.top = (above > 4 ? above : box.bottom + 8) + "px";
  };

  const describe = (position) => {
    const pair = data.pairs[position];
    let text = "Pair " + pair.i;
    pair.d.forEach((change, i) => {
      if (change) text += "\n" + (data.runs.length > 1 ? data.runs[i] + ": " : "") + "chosen " + number(change[0]) + ", rejected " + number(change[1]);
    });
    if (pair.t) text += "\n" + pair.t[0].slice(0, 80);
    return text;
  };

  document.addEventListener("pointerover", (event) => {
    const dot = event.target.closest("circle[data-p]");
    if (dot) show(dot, describe(dot.dataset.p));
    else hide();
  });
  addEventListener("scroll", hide, { passive: true });

  // One stop for the tab key a panel; arrows go from dot to dot in order of their place across, Enter opens.
  document.querySelectorAll(".panel").forEach((panel) => {
    const dots = [...panel.querySelectorAll("circle[data-p]")];
    if (!dots.length) return;
    dots.sort((a, b) => a.cx.baseVal.value - b.cx.baseVal.value || a.cy.baseVal.value - b.cy.baseVal.value);
    let at = -1;
    const go = (to) => {
      if (at >= 0) dots[at].classList.remove("here");
      at = Math.min(Math.max(to, 0), dots.length - 1);
      dots[at].classList.add("here");
      show(dots[at], describe(dots[at].dataset.p));
      spoken.textContent = describe(dots[at].dataset.p);
    };
    panel.tabIndex = 0;
    panel.setAttribute("role", "group");
    panel.setAttribute("aria-label", "Pairs: arrow keys move between them, Enter opens one");
    panel.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
      if (step) go(at < 0 ? 0 : at + step);
      else if (event.key === "Home") go(0);
      else if (event.key === "End") go(dots.length - 1);
      else if ((event.key === "Enter" || event.key === " ") && at >= 0) open(dots[at].dataset.p);
      else return;
      event.preventDefault();
    });
    panel.addEventListener("blur", () => {
      hide();
      if (at >= 0) dots[at].classList.remove("here");
    });
  });

  // ---- light and dark ----

  const theme = document.getElementById("theme");
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.setAttribute("aria-label", "Switch between light and dark");
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
})();
