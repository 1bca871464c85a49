// Requests to the server that sent this page, with the key that it may want, which is kept in memory only.
const access = { key: "", wanted: () => {} };

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function request(path, options = {}) {
  const headers = access.key ? { ...options.headers, "X-API-Key": access.key } : options.headers;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", "The server cannot be reached.");
  }
  if (response.ok) return response;
  if (response.status === 401) access.wanted();
  const { error } = await response.json().catch(() => ({}));
  throw new Refused(response.status, error?.code ?? "", error?.message ?? `The server answers ${response.status}.`);
}

async function requestJson(path, options) {
  return (await request(path, options)).json();
}

// The answers, and the milliseconds that they took in the server.
async function predict(body, signal) {
  const headers = { "Content-Type": "application/json" };
  const response = await request("v1/predict", { method: "POST", headers, body: JSON.stringify(body), signal });
  const took = /dur=([\d.]+)/.exec(response.headers.get("Server-Timing"));
  return { ...(await response.json()), milliseconds: took && Number(took[1]) };
}

// Links and pictures cannot send a key, so that files come by a request.
async function fileUrl(path) {
  return URL.createObjectURL(await (await request(path)).blob());
}

function pathOf(predictor, ...parts) {
  return ["v1/predictors", ...[predictor.name, ...parts].map(encodeURIComponent)].join("/");
}
