// Replication between the client's own databases and the server.
'use strict';
const {assert, check, remote, local, event, eventually, same, run} = require('./checks');

// fill writes documents with a history: updates, deletions.
async function fill(db, prefix, n) {
  const docs = [];
  for (let i = 0; i < n; i++) docs.push({_id: prefix + String(i).padStart(4, '0'), n: i});
  const first = await db.bulkDocs(docs);
  const second = docs.slice(0, n / 2).map((d, i) => ({...d, _rev: first[i].rev, n: -i, _deleted: i % 5 === 0}));
  await db.bulkDocs(second);
}

run(async () => {
  await check('push, pull, and both ways', async () => {
    const [a, b, c] = [local(), await remote(), local()];
    await fill(a, 'a-', 250);
    let r = await a.replicate.to(b);
    assert.deepStrictEqual([r.ok, r.doc_write_failures, r.docs_written], [true, 0, 250]);
    await same(a, b);
    r = await c.replicate.from(b);
    assert.strictEqual(r.docs_written, 250);
    await same(c, b);
    await fill(c, 'c-', 20);
    await fill(a, 'x-', 20);
    await c.sync(b);
    await a.sync(b);
    await c.sync(b);
    await same(a, b);
    await same(c, b);
  });
  await check('a second run has nothing to do', async () => {
    const [a, b] = [local(), await remote()];
    await fill(a, 'a-', 50);
    await a.replicate.to(b);
    const again = await a.replicate.to(b);
    assert.deepStrictEqual([again.docs_read, again.docs_written], [0, 0]);
    await a.put({_id: 'one-more'});
    assert.strictEqual((await a.replicate.to(b)).docs_written, 1);
  });
  await check('between two databases of the server', async () => {
    const [a, b] = [await remote(), await remote()];
    await fill(a, 'a-', 100);
    await a.replicate.to(b);
    await same(a, b);
  });
  await check('small batches', async () => {
    const [a, b] = [local(), await remote()];
    await fill(a, 'a-', 60);
    await a.replicate.to(b, {batch_size: 7, batches_limit: 2});
    await same(a, b);
    const c = local();
    await c.replicate.from(b, {batch_size: 7, batches_limit: 2});
    await same(c, b);
  });
  await check('only some documents', async () => {
    const [a, b] = [await remote(), local()];
    await fill(a, 'a-', 20);
    await b.replicate.from(a, {doc_ids: ['a-0015', 'a-0017']});
    assert.deepStrictEqual((await b.allDocs()).rows.map(r => r.id), ['a-0015', 'a-0017']);
  });

  await check('conflicts: one winner everywhere', async () => {
    const [a, b, c] = [local(), await remote(), local()];
    const {rev} = await a.put({_id: 'x', who: 'all'});
    await a.replicate.to(b);
    await b.replicate.to(c);
    await a.put({_id: 'x', _rev: rev, who: 'a'});
    await b.put({_id: 'x', _rev: rev, who: 'b'});
    await c.put({_id: 'x', _rev: rev, who: 'c'});
    for (let i = 0; i < 2; i++) { await a.sync(b); await c.sync(b); }
    await same(a, b);
    await same(c, b);
    const doc = await b.get('x', {conflicts: true});
    assert.strictEqual(doc._conflicts.length, 2);
    const leaves = await b.get('x', {open_revs: 'all'});
    assert.deepStrictEqual(leaves.map(l => l.ok.who).sort(), ['a', 'b', 'c']);
  });
  await check('conflicts are resolved', async () => {
    const [a, b] = [local(), await remote()];
    const {rev} = await a.put({_id: 'x'});
    await a.replicate.to(b);
    await a.put({_id: 'x', _rev: rev, who: 'a'});
    await b.put({_id: 'x', _rev: rev, who: 'b'});
    // One way after the other: a one-shot sync may pass over a document that its
    // pull changes in the local database while its push reads that.
    await a.replicate.to(b);
    await a.replicate.from(b);
    const doc = await b.get('x', {conflicts: true});
    await b.remove('x', doc._conflicts[0]);
    await a.sync(b);
    await same(a, b);
    assert.strictEqual((await a.get('x', {conflicts: true}))._conflicts, undefined);
  });
  await check('a deletion against an edit', async () => {
    const [a, b] = [local(), await remote()];
    const {rev} = await a.put({_id: 'x'});
    await a.replicate.to(b);
    await a.remove('x', rev);
    await b.put({_id: 'x', _rev: rev, who: 'b'});
    await a.sync(b);
    assert.strictEqual((await a.get('x')).who, 'b');
    await same(a, b);
  });
  await check('a long history', async () => {
    const [a, b] = [local(), await remote()];
    let rev;
    for (let i = 0; i < 50; i++) ({rev} = await b.put({_id: 'x', _rev: rev, i}));
    await a.replicate.from(b);
    const [x, y] = [await a.get('x', {revs: true}), await b.get('x', {revs: true})];
    assert.deepStrictEqual(x, y);
  });

  await check('live both ways, with retry', async () => {
    const [a, b, c] = [local(), await remote(), local()];
    const ab = a.sync(b, {live: true, retry: true, heartbeat: 1000});
    const cb = c.sync(b, {live: true, retry: true, heartbeat: 1000});
    for (let i = 0; i < 10; i++) {
      await a.put({_id: 'a-' + i, i});
      await c.put({_id: 'c-' + i, i});
    }
    await eventually(async () => {
      await same(a, b);
      await same(c, b);
      assert.strictEqual((await a.info()).doc_count, 20);
    });
    await a.remove(await a.get('c-3'));
    await eventually(async () => {
      assert.strictEqual((await c.info()).doc_count, 19);
      await same(c, b);
    });
    const done = Promise.all([event(ab, 'complete'), event(cb, 'complete')]);
    ab.cancel();
    cb.cancel();
    await done;
  });
});
