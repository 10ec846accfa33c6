// Calls a gateway with the Vercel AI SDK, in each of its formats, and prints the results as
// JSON: `node ask.mjs whole|broken URL PROMPT`.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;

const [scenario, url, prompt] = process.argv.slice(2);
const v1 = { baseURL: `${url}/v1`, apiKey: "k" };
const formats = {
  compatible: createOpenAICompatible({
    ...v1,
    name: "gateway",
    includeUsage: true,
    supportsStructuredOutputs: true,
  }),
  openai: createOpenAI(v1).chat,
  anthropic: createAnthropic(v1),
  google: createGoogleGenerativeAI({ ...v1, baseURL: `${url}/v1beta` }),
};

const weather = tool({
  description: "Returns the weather.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});

async function streamed(model) {
  const errors = [];
  const result = streamText({
    model,
    prompt,
    maxRetries: 0,
    onError: ({ error }) => errors.push(String(error?.message ?? error)),
  });
  let text = "";
  try {
    for await (const piece of result.textStream) text += piece;
  } catch (error) {
    errors.push(String(error));
  }
  if (errors.length > 0) return { text, errors };
  return { text, finish: await result.finishReason, tokens: (await result.usage).totalTokens };
}

async function rejected(model) {
  try {
    await generateText({ model, prompt, maxRetries: 0 });
    return {};
  } catch (error) {
    return { status: error.statusCode, retryable: error.isRetryable, message: error.message };
  }
}

async function broken(format) {
  const model = format("m");
  return { streamed: await streamed(model), rejected: await rejected(format("context-too-long")) };
}

async function whole(format) {
  const model = format("m");
  const text = await generateText({ model, prompt });
  const called = await generateText({
    model,
    prompt: "the weather please",
    tools: { weather },
    stopWhen: stepCountIs(2),
  });
  const { object } = await generateObject({
    model,
    prompt,
    schema: z.object({ name: z.string() }),
  });
  return {
    text: { text: text.text, finish: text.finishReason, tokens: text.usage.totalTokens },
    called: {
      inputs: called.steps[0].toolCalls.map((call) => call.input),
      text: called.text,
    },
    object,
    streamed: await streamed(model),
  };
}

const run = { whole, broken }[scenario];
const results = {};
for (const [name, format] of Object.entries(formats)) results[name] = await run(format);
process.stdout.write(JSON.stringify(results));
