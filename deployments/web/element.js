/** Words that every part of the page uses. */

/** `element("button", {type: "button", textContent: "End"})` */
export const element = (name, properties = {}) => Object.assign(document.createElement(name), properties);

/** The address of the page with a session open. */
export const linkTo = (id) => `/#${new URLSearchParams({ session: id })}`;

/** 75.4 -> "1:15", 3675 -> "1:01:15" */
export function clockTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}
