// What the pages of access control do beside their forms, which work without: show
// a password, say how long there is left, copy what is shown once, and notice that
// somebody is signed in already.

for (const button of document.querySelectorAll("[data-show]")) {
  const input = document.getElementById(button.dataset.show);
  const set = (shown) => {
    input.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
    button.textContent = shown ? "Hide" : "Show";
  };
  button.hidden = false;
  button.addEventListener("click", () => set(input.type === "password"));
  // Browsers offer to keep what was typed into a field for passwords only.
  input.form.addEventListener("submit", () => set(false));
}

for (const rule of document.querySelectorAll("[data-rule]")) {
  const input = document.getElementById(rule.dataset.rule);
  const least = Number(rule.dataset.least);
  const usual = rule.textContent;
  input.addEventListener("input", () => {
    const length = [...input.value].length; // characters, not halves of them
    const met = length >= least;
    rule.classList.toggle("met", met);
    const text = length === 0 ? usual : met ? "Long enough. Longer is better." : `${least - length} more`;
    if (rule.textContent !== text) rule.textContent = text;
  });
}

for (const left of document.querySelectorAll("[data-left]")) {
  const end = performance.now() + Number(left.dataset.left) * 1000;
  const timer = setInterval(() => {
    const seconds = Math.max(0, Math.round((end - performance.now()) / 1000));
    const text = seconds < 90 ? `${seconds} seconds` : `${Math.round(seconds / 60)} minutes`;
    if (left.textContent !== text) left.textContent = text;
    if (seconds === 0) {
      clearInterval(timer);
      location.reload();
    }
  }, 1000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const input = document.getElementById(button.dataset.copy);
  // The browser knows best under which address it reached this page.
  if (input.dataset.path) input.value = location.origin + input.dataset.path;
  button.hidden = false;
  button.addEventListener("click", async () => {
    input.select();
    try {
      await navigator.clipboard.writeText(input.value);
    } catch {
      document.execCommand("copy"); // pages without encryption have no clipboard
    }
    button.textContent = "Copied";
  });
}

// Who comes by a link on another site brings no cookie at first.
const card = document.querySelector("[data-next]");
if (card && card.querySelector("form")) {
  try {
    const answer = await fetch("/api/v1/sign-in", { headers: { Accept: "application/json" }, cache: "no-store" });
    if (answer.ok && (await answer.json()).kind === "session") location.replace(card.dataset.next);
  } catch {
    // The form is there.
  }
}
