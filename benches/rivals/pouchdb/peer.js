// PouchDB as a peer: LevelDB on disk, CouchDB's replication over HTTP.
//
// One JSON command a line on standard input, one JSON reply a line on standard output, as ../src/protocol.rs has them.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";

import http from "pouchdb-adapter-http";
import leveldb from "pouchdb-adapter-leveldb";
import core from "pouchdb-core";
import replication from "pouchdb-replication";

const plugin = (module) => module.default ?? module;
const PouchDB = plugin(core).plugin(plugin(http)).plugin(plugin(leveldb)).plugin(plugin(replication));

// Documents in one write, and in one round of a replication. 100, the default, is slower with documents this small.
const BATCH = 1000;

class Peer {
  // The directory is the database's and ends with it.
  constructor({ directory }) {
    this.Database = PouchDB.defaults({ prefix: join(directory, "/"), adapter: "leveldb" });
    this.database = new this.Database("c");
    this.received = 0;
    this.waiting = [];
  }

  async load({ file, count }) {
    const lines = readFileSync(file, "utf8").split("\n", count);
    for (let first = 0; first < lines.length; first += BATCH) {
      const documents = lines.slice(first, first + BATCH).map((line) => JSON.parse(line));
      failOnRefusal(await this.database.bulkDocs(documents));
    }
  }

  async listen() {
    // Here, so that a process that only receives does without the server's code.
    const { default: express } = await import("express");
    const { default: expressPouchdb } = await import("express-pouchdb");
    const app = expressPouchdb(this.Database, { mode: "minimumForPouchDB", inMemoryConfig: true });
    // The server knows the databases that were opened since it was made; both handles share one store.
    await new this.Database("c").info();
    const server = createServer(express().use(app));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { invitation: { transport: "tcp", address: `127.0.0.1:${server.address().port}`, secret: "" } };
  }

  async connect({ invitation }) {
    const remote = new PouchDB(`http://${invitation.address}/c`, { adapter: "http" });
    this.replication = this.database.replicate.from(remote, {
      live: true,
      retry: true,
      batch_size: BATCH,
    });
    this.replication.on("change", (info) => {
      this.received = info.docs_written;
      this.notify();
    });
    this.replication.on("denied", fail);
    this.replication.on("error", fail);
  }

  async wait_for_documents({ count }) {
    await this.until(() => this.received >= count);
  }

  async wait_for_changes({ ids, population }) {
    await this.until(() => this.received >= ids.length);
    const { rows } = await this.database.allDocs({ keys: ids, include_docs: true });
    if (rows.some((row) => row.doc?.population !== population)) throw new Error("other documents than expected arrived");
  }

  async watch({ id }) {
    this.changes?.cancel();
    this.changes = this.database.changes({ live: true, since: "now", include_docs: true, doc_ids: [id] });
    this.changes.on("change", (change) => {
      this.population = change.doc.population;
      this.notify();
    });
    this.population = (await this.database.get(id)).population;
  }

  async wait_for_value({ population }) {
    await this.until(() => this.population === population);
  }

  async change({ ids, population }) {
    const { rows } = await this.database.allDocs({ keys: ids, include_docs: true });
    failOnRefusal(await this.database.bulkDocs(rows.map((row) => ({ ...row.doc, population }))));
  }

  async nothing() {}

  async close() {
    this.replication?.cancel();
    await this.database.close();
  }

  async until(condition) {
    while (!condition()) await new Promise((resolve) => this.waiting.push(resolve));
  }

  notify() {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

function failOnRefusal(results) {
  const refused = results.find((result) => result.error);
  if (refused) throw new Error(`a document was refused: ${refused.message}`);
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

let peer;
for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, ...operands } = JSON.parse(line);
  let reply = {};
  try {
    if (action === "open") peer = new Peer(operands);
    else reply = (await peer[action](operands)) ?? {};
  } catch (error) {
    reply = { error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
  if (action === "close") break;
}
process.exit(0);
