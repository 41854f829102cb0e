// npm install express
// WEBHOOK_SECRET=... node node-express-raw.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error("WEBHOOK_SECRET is not set");

const app = express();
const seen = new Set(); // in production: a table with a unique event id

app.post("/webhook", express.raw({ type: "application/json", limit: "512kb" }), (req, res) => {
  if (!Buffer.isBuffer(req.body) || !verified(req, req.body)) {
    return res.status(401).send("invalid signature");
  }
  const event = JSON.parse(req.body);
  const isNew = !seen.has(event.id);
  seen.add(event.id); // in production: insert the event here, before you answer
  res.sendStatus(204);
  if (isNew) work(event).catch(console.error);
});

function verified(req, body) {
  const want = Buffer.from("sha256=" + createHmac("sha256", secret).update(body).digest("hex"));
  // While secrets rotate, the other secret signs the -previous or -next header.
  return ["x-tengine-signature", "x-tengine-signature-previous", "x-tengine-signature-next"].some((name) => {
    const given = Buffer.from(req.get(name) ?? "");
    return given.length === want.length && timingSafeEqual(given, want);
  });
}

async function work(event) {
  console.log(`handled ${event.id} ${event.type}`);
}

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(`listening on http://127.0.0.1:${server.address().port}/webhook`);
});
