// An agent in Node.js: OpenAI's client, OpenTelemetry's instrumentation of it, and one of its three OTLP exporters.
// node agent.js PROVIDER_URL http|http-gzip|proto|grpc OTLP_URL
const [, , provider, protocol, otlp] = process.argv;

const { trace } = require("@opentelemetry/api");
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { OpenAIInstrumentation } = require("@opentelemetry/instrumentation-openai");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const exporters = {
  http: () => new (require("@opentelemetry/exporter-trace-otlp-http").OTLPTraceExporter)({ url: `${otlp}/v1/traces` }),
  "http-gzip": () =>
    new (require("@opentelemetry/exporter-trace-otlp-http").OTLPTraceExporter)({ url: `${otlp}/v1/traces`, compression: "gzip" }),
  proto: () => new (require("@opentelemetry/exporter-trace-otlp-proto").OTLPTraceExporter)({ url: `${otlp}/v1/traces` }),
  grpc: () => new (require("@opentelemetry/exporter-trace-otlp-grpc").OTLPTraceExporter)({ url: otlp }),
};
const tracers = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "node-shop" }),
  spanProcessors: [new BatchSpanProcessor(exporters[protocol]())],
});
tracers.register();
registerInstrumentations({ instrumentations: [new OpenAIInstrumentation()], tracerProvider: tracers });
const OpenAI = require("openai"); // after its instrumentation

const messages = (text) => [{ role: "user", content: text }];

async function work(client) {
  await client.chat.completions.create({ model: "gpt-4o", messages: messages("one question") });
  const streamed = await client.chat.completions.create({
    model: "gpt-4o-mini", messages: messages("one more"), stream: true, stream_options: { include_usage: true },
  });
  for await (const _ of streamed);
  await Promise.all(
    ["a", "b", "c"].map((text) => client.chat.completions.create({ model: "gpt-4o", messages: messages(`question ${text}`) })),
  );
  await client.embeddings.create({ model: "text-embedding-3-small", input: "a text to find again" });
}

async function main() {
  const client = new OpenAI({ baseURL: provider, apiKey: "none", maxRetries: 0 });
  const attributes = { "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner" };
  await trace.getTracer("shop").startActiveSpan("invoke_agent planner", { attributes }, async (span) => {
    try {
      await work(client);
    } finally {
      span.end();
    }
  });
  await tracers.shutdown();
}

main();
