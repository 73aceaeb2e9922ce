// What the programs here have in common: checks, and databases.
'use strict';
const assert = require('assert');
const PouchDB = require('pouchdb').plugin(require('pouchdb-find').default || require('pouchdb-find'));

const server = process.argv[2];
let failures = 0;
let names = 0;

// check prints one line for what f asserts.
async function check(name, f) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('not within 30 s')), 30000); });
  try {
    await Promise.race([f(), late]);
    console.log('ok - ' + name);
  } catch (err) {
    failures++;
    const why = String(err && (err.reason || err.message) || err).split('\n').slice(0, 12).join(' ').slice(0, 500);
    console.log('not ok - ' + name + ': ' + why);
  } finally {
    clearTimeout(timer);
  }
}

// remote makes a database on the server, local one in this process.
async function remote() {
  const db = new PouchDB(server + '/pouch-' + (++names) + '-' + process.pid, {skip_setup: true});
  const resp = await db.fetch('', {method: 'PUT'});
  assert.ok(resp.ok, 'creating a database: ' + resp.status);
  return db;
}
function local() { return new PouchDB('local-' + (++names)); }

// fails returns the error that p ends with.
async function fails(p, status) {
  const err = await p.then(() => null, e => e);
  assert.ok(err, 'it succeeded');
  assert.strictEqual(err.status, status, JSON.stringify(err));
  return err;
}

// event waits for an event of a feed or a replication.
function event(emitter, name) { return new Promise((resolve, reject) => { emitter.once(name, resolve); emitter.once('error', reject); }); }

// eventually polls until f asserts nothing.
async function eventually(f) {
  for (let end = Date.now() + 20000; ; await new Promise(r => setTimeout(r, 20))) {
    try { return await f(); } catch (err) { if (Date.now() > end) throw err; }
  }
}

// same compares what two databases hold: winners, conflicts, bodies.
async function same(a, b) {
  const read = async db => {
    const all = await db.allDocs({include_docs: true, conflicts: true, attachments: true});
    return all.rows.map(r => ({...r.doc, _conflicts: (r.doc._conflicts || []).slice().sort()}));
  };
  const [x, y] = [await read(a), await read(b)];
  for (const d of x.concat(y)) for (const name in d._attachments || {}) delete d._attachments[name].revpos;
  assert.deepStrictEqual(x, y);
}

// run runs main and ends with a status that says whether all was well.
function run(main) {
  main().then(() => process.exit(failures ? 1 : 0), err => { console.error(err); process.exit(2); });
}

module.exports = {assert, PouchDB, server, check, remote, local, fails, event, eventually, same, run};
