// What every page shares in the browser: addresses, theme, time, units. No request of its own.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function parameters() {
    return new URLSearchParams(location.search);
  }

  function applyAddress() {
    const wanted = parameters().get("theme");
    const theme = ["light", "dark"].includes(wanted) ? wanted : dark.matches ? "dark" : "light";
    if (root.dataset.theme !== theme) root.dataset.theme = theme;
    const zone = parameters().get("zone") === "UTC" ? "UTC" : "local";
    if (root.dataset.zone !== zone) root.dataset.zone = zone;
  }

  function tellServer() {
    applyAddress();
    if (window.emitEvent) emitEvent("steadflow_locate", location.search);
  }

  // The address is the state: a change of it is all that a control ever does.
  function navigate(search) {
    const target = new URL(search, location.href);
    if (target.search === location.search) return;
    history.pushState(null, "", target.search || location.pathname);
    tellServer();
  }

  function withRange(from, to) {
    const changed = parameters();
    changed.set("from", from);
    changed.set("to", to);
    return "?" + changed.toString();
  }

  function loginAddress() {
    return "/login?next=" + encodeURIComponent(location.pathname + location.search);
  }

  // The JSON of an answer to a change or a question of this page's session; an Error with its sentence.
  async function ask(path, method = "GET", body = undefined) {
    let answer;
    try {
      answer = await fetch(path, {
        method,
        ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
      });
    } catch {
      throw new Error("No answer.");
    }
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    throw new Error(answer.status === 401 ? "The session has ended: log in again." : told.detail || "It was refused.");
  }

  addEventListener("popstate", tellServer);
  dark.addEventListener("change", applyAddress);
  document.addEventListener("visibilitychange", () => {
    if (window.emitEvent) emitEvent("steadflow_visible", !document.hidden);
  });
  // A link that only changes the query is followed in place; with a modifier key it opens a tab.
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = event.target.closest?.("a[href]");
    if (!link || !link.getAttribute("href").startsWith("?")) return;
    event.preventDefault();
    navigate(link.getAttribute("href"));
  });

  function options(extra) {
    const zone = root.dataset.zone === "UTC" ? { timeZone: "UTC" } : {};
    return { ...zone, hourCycle: "h23", ...extra };
  }

  const day = { month: "short", day: "numeric" };
  const clock = { hour: "2-digit", minute: "2-digit" };

  function timeText(ms, extra = {}) {
    return new Intl.DateTimeFormat("en-GB", options({ ...day, ...clock, ...extra })).format(ms);
  }

  function rangeText(from, to) {
    const sameDay = timeText(from, { hour: undefined, minute: undefined }) ===
      timeText(to - 1, { hour: undefined, minute: undefined });
    const end = sameDay
      ? new Intl.DateTimeFormat("en-GB", options(clock)).format(to)
      : timeText(to);
    return `${timeText(from)} – ${end}`;
  }

  function zoneText() {
    if (root.dataset.zone === "UTC") return "UTC";
    return Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
  }

  function threeDigits(value) {
    if (value >= 99.95) return value.toFixed(0);
    if (value >= 9.995) return value.toFixed(1);
    if (value >= 0.9995) return value.toFixed(2);
    return value === 0 ? "0" : String(Number(value.toPrecision(2)));
  }

  // As `units.with_unit`; an axis leaves out what is not needed.
  function withUnit(value, unit, plain = false) {
    let size = Math.abs(value);
    let power = 0;
    const units = ["", "k", "M", "G", "T", "P", "E"];
    while (size >= 999.5 && power < 6) {
      size /= 1000;
      power += 1;
    }
    const number = plain ? String(Number(size.toPrecision(3))) : threeDigits(size);
    const space = power && unit.endsWith("s/s") ? " " : "";
    return `${number} ${units[power]}${space}${unit}`;
  }

  applyAddress();
  window.steadflow = { loginAddress, ask, navigate, withRange, timeText, rangeText, zoneText, withUnit, root };
})();
