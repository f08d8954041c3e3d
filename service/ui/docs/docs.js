// Shows the API's description with Swagger UI. Every path is relative, so the page works under a prefix.

const base = new URL(".", document.baseURI);
const form = document.getElementById("key");
const state = document.getElementById("state");
let key = "";

function authorize(request) {
  if (key) request.headers.Authorization = `Bearer ${key}`;
  return request;
}

function say(sentence) {
  state.textContent = sentence;
  state.hidden = sentence === "";
}

async function show() {
  let response;
  try {
    response = await fetch(new URL("openapi.json", base), authorize({ headers: {} }));
  } catch {
    say("The server does not answer. Reload the page when it runs again.");
    return;
  }
  const document_ = await response.json();
  if (response.status === 401 || response.status === 403) {
    say(key ? document_.error : "");
    form.hidden = false;
    form.elements.value.focus();
    return;
  }
  if (!response.ok) {
    say(document_.error);
    return;
  }
  form.hidden = true;
  say("");
  const url = base.pathname.replace(/\/$/, "");
  window.SwaggerUIBundle({
    spec: { ...document_, servers: url ? [{ url }] : undefined },
    dom_id: "#swagger-ui",
    deepLinking: true,
    layout: "BaseLayout",
    validatorUrl: null,
    requestInterceptor: authorize,
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  key = form.elements.value.value.trim();
  form.elements.value.value = "";
  show();
});

show();
