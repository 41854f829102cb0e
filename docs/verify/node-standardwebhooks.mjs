// npm install express standardwebhooks
// WEBHOOK_SECRET=... node node-standardwebhooks.mjs
import express from "express";
import { Webhook } from "standardwebhooks";

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error("WEBHOOK_SECRET is not set");

// The library decodes whsec_ secrets. Any other secret is used as its bytes.
const webhook = secret.startsWith("whsec_")
  ? new Webhook(secret)
  : new Webhook(new TextEncoder().encode(secret), { format: "raw" });

const app = express();
const seen = new Set(); // in production: a table with a unique event id

app.post("/webhook", express.raw({ type: "application/json", limit: "512kb" }), (req, res) => {
  let event;
  try {
    event = webhook.verify(req.body ?? "", req.headers); // refuses timestamps over 5 minutes off
  } catch (error) {
    return res.status(401).send(error.message);
  }
  const isNew = !seen.has(event.id);
  seen.add(event.id); // in production: insert the event here, before you answer
  res.sendStatus(204);
  if (isNew) work(event).catch(console.error);
});

async function work(event) {
  console.log(`handled ${event.id} ${event.type}`);
}

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(`listening on http://127.0.0.1:${server.address().port}/webhook`);
});
