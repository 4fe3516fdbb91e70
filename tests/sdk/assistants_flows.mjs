// What users of the Assistants API do, with OpenAI's Node SDK.
//
//     node assistants_flows.mjs BASE_URL
//
// The models are those of tests/support/scripted_gateway.py.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", timeout: 30_000, maxRetries: 0 });
const { assistants, threads } = client.beta;
const WEATHER = {
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

async function newAssistant(model = "greeter", fields = {}) {
  return (await assistants.create({ model, ...fields })).id;
}

async function newThread(text = "Hello") {
  return (await threads.create({ messages: [{ role: "user", content: text }] })).id;
}

async function collect(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

// Calls what must be refused with one class of error, and returns the error.
async function refused(kind, call) {
  const error = await call().then(
    () => assert.fail(`${kind.name} was expected of ${call}`),
    (reason) => reason,
  );
  assert.equal(error.constructor, kind, `${error}`);
  assert.ok(error.requestID, "an error without x-request-id");
  return error;
}

const flows = {
  async assistants() {
    const made = await assistants.create({ model: "greeter", name: "Tutor", tools: [WEATHER], metadata: { a: "1" } });
    assert.deepEqual(await assistants.retrieve(made.id), made);
    const changed = await assistants.update(made.id, { name: "Coach", metadata: { b: "2" } });
    assert.deepEqual([changed.name, changed.metadata, changed.tools], ["Coach", { b: "2" }, [WEATHER]]);
    const gone = await assistants.delete(made.id);
    assert.deepEqual({ ...gone }, { id: made.id, object: "assistant.deleted", deleted: true });
    await refused(OpenAI.NotFoundError, () => assistants.retrieve(made.id));
  },

  async pages() {
    const ids = [];
    for (let number = 0; number < 5; number += 1) ids.push(await newAssistant());
    const listed = await collect(assistants.list({ limit: 2 }));
    assert.deepEqual(
      listed.slice(0, 5).map((item) => item.id),
      ids.toReversed(),
    );
    const page = await assistants.list({ limit: 2, order: "asc", after: ids[0] });
    assert.deepEqual(
      page.data.map((item) => item.id),
      ids.slice(1, 3),
    );
    assert.ok(page.hasNextPage());
    await Promise.all(ids.map((id) => assistants.delete(id)));
  },

  async threadsAndMessages() {
    const thread = await threads.create({ metadata: { a: "1" } });
    assert.deepEqual((await threads.update(thread.id, { metadata: { b: "2" } })).metadata, { b: "2" });
    assert.deepEqual((await threads.retrieve(thread.id)).metadata, { b: "2" });
    const first = await threads.messages.create(thread.id, { role: "user", content: "Hello ☕" });
    assert.deepEqual(first.content, [{ type: "text", text: { value: "Hello ☕", annotations: [] } }]);
    const second = await threads.messages.create(thread.id, { role: "assistant", content: "Ciao" });
    const ids = (await collect(threads.messages.list(thread.id, { limit: 1 }))).map((item) => item.id);
    assert.deepEqual(ids, [second.id, first.id]);
    assert.deepEqual(await threads.messages.retrieve(first.id, { thread_id: thread.id }), first);
    const changed = await threads.messages.update(first.id, { thread_id: thread.id, metadata: { k: "v" } });
    assert.deepEqual(changed.metadata, { k: "v" });
    assert.equal((await threads.messages.delete(first.id, { thread_id: thread.id })).deleted, true);
    assert.equal((await threads.delete(thread.id)).object, "thread.deleted");
    await refused(OpenAI.NotFoundError, () => threads.retrieve(thread.id));
  },

  async polledRun() {
    const [assistant_id, threadId] = [await newAssistant(), await newThread()];
    const run = await threads.runs.createAndPoll(threadId, { assistant_id });
    assert.deepEqual([run.status, run.usage.total_tokens], ["completed", 10]);
    const [answer] = (await threads.messages.list(threadId, { run_id: run.id })).data;
    assert.equal(answer.content[0].text.value, "Ciao mondo");
    const [step] = (await threads.runs.steps.list(run.id, { thread_id: threadId })).data;
    assert.equal(step.step_details.message_creation.message_id, answer.id);
    const again = await threads.runs.steps.retrieve(step.id, { thread_id: threadId, run_id: run.id });
    assert.deepEqual(again, step);
    const changed = await threads.runs.update(run.id, { thread_id: threadId, metadata: { k: "v" } });
    assert.deepEqual(changed.metadata, { k: "v" });
    assert.equal((await collect(threads.runs.list(threadId))).length, 1);
  },

  async streamedRun() {
    const [assistant_id, threadId] = [await newAssistant(), await newThread()];
    const stream = threads.runs.stream(threadId, { assistant_id });
    let text = "";
    const told = [];
    stream.on("textDelta", (delta) => (text += delta.value ?? ""));
    stream.on("event", (event) => told.push(event.event));
    const [run, [message]] = [await stream.finalRun(), await stream.finalMessages()];
    assert.deepEqual([run.status, text, message.content[0].text.value], ["completed", "Ciao mondo", "Ciao mondo"]);
    assert.deepEqual([told[0], told.at(-1)], ["thread.run.created", "thread.run.completed"]);
  },

  async toolCallsPolled() {
    const [assistant_id, threadId] = [await newAssistant("caller", { tools: [WEATHER] }), await newThread()];
    const run = await threads.runs.createAndPoll(threadId, { assistant_id });
    assert.equal(run.status, "requires_action");
    const [call] = run.required_action.submit_tool_outputs.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Rome" });
    const done = await threads.runs.submitToolOutputsAndPoll(run.id, {
      thread_id: threadId,
      tool_outputs: [{ tool_call_id: call.id, output: "sunny" }],
    });
    assert.equal(done.status, "completed");
    assert.equal((await threads.messages.list(threadId)).data[0].content[0].text.value, "It is sunny");
  },

  async toolCallsStreamed() {
    const [assistant_id, threadId] = [await newAssistant("caller", { tools: [WEATHER] }), await newThread()];
    const run = await threads.runs.stream(threadId, { assistant_id }).finalRun();
    assert.equal(run.status, "requires_action");
    const [call] = run.required_action.submit_tool_outputs.tool_calls;
    const stream = threads.runs.submitToolOutputsStream(run.id, {
      thread_id: threadId,
      tool_outputs: [{ tool_call_id: call.id, output: "sunny" }],
    });
    let text = "";
    stream.on("textDelta", (delta) => (text += delta.value ?? ""));
    assert.equal((await stream.finalRun()).status, "completed");
    assert.equal(text, "It is sunny");
  },

  async threadAndRun() {
    const assistant_id = await newAssistant();
    const thread = { messages: [{ role: "user", content: "Hello" }] };
    assert.equal((await threads.createAndRunPoll({ assistant_id, thread })).status, "completed");
    const events = await collect(await threads.createAndRun({ assistant_id, thread, stream: true }));
    assert.deepEqual([events[0].event, events.at(-1).event], ["thread.created", "thread.run.completed"]);
    const run = await threads.createAndRunStream({ assistant_id, thread }).finalRun();
    assert.equal(run.status, "completed");
  },

  async cancelledRun() {
    const [assistant_id, threadId] = [await newAssistant("slow"), await newThread()];
    const run = await threads.runs.create(threadId, { assistant_id });
    const busy = await refused(OpenAI.BadRequestError, () => threads.runs.create(threadId, { assistant_id }));
    assert.match(busy.message, /already has an active run/);
    await threads.runs.cancel(run.id, { thread_id: threadId });
    assert.equal((await threads.runs.poll(run.id, { thread_id: threadId })).status, "cancelled");
  },

  async failedRun() {
    const [assistant_id, threadId] = [await newAssistant(), await newThread()];
    const run = await threads.runs.createAndPoll(threadId, { assistant_id, model: "broken" });
    assert.deepEqual([run.status, run.last_error.code], ["failed", "server_error"]);
  },

  async errors() {
    const unknown = await refused(OpenAI.BadRequestError, () => assistants.create({ model: "test-model" }));
    assert.deepEqual([unknown.code, unknown.param], ["model_not_found", "model"]);
    const bad = await refused(OpenAI.BadRequestError, () => assistants.create({ model: "greeter", temperature: 3 }));
    assert.equal(bad.param, "temperature");
    await refused(OpenAI.NotFoundError, () => threads.runs.retrieve("run_x", { thread_id: "thread_x" }));
  },
};

for (const [name, flow] of Object.entries(flows)) {
  const started = Date.now();
  await flow();
  console.log(`${name} ${Date.now() - started} ms`);
}
