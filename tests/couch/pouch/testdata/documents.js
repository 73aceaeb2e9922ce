// Documents, lists, feeds and queries, through the client's own adapter.
'use strict';
const {assert, check, remote, fails, event, eventually, run} = require('./checks');

run(async () => {
  const db = await remote();

  await check('info of an empty database', async () => {
    const info = await db.info();
    assert.strictEqual(info.doc_count, 0);
    assert.ok('update_seq' in info);
  });

  await check('put, get, update', async () => {
    const a = await db.put({_id: 'a', n: 1, text: 'é <&> \u{1F600}'});
    assert.match(a.rev, /^1-/);
    const doc = await db.get('a');
    assert.deepStrictEqual(doc, {_id: 'a', _rev: a.rev, n: 1, text: 'é <&> \u{1F600}'});
    const b = await db.put({...doc, n: 2});
    assert.match(b.rev, /^2-/);
    assert.strictEqual((await db.get('a')).n, 2);
  });
  await check('a stale update', async () => {
    const err = await fails(db.put({_id: 'a', _rev: '1-0123456789abcdef0123456789abcdef'}), 409);
    assert.strictEqual(err.name, 'conflict');
  });
  await check('a missing document', async () => {
    const err = await fails(db.get('nowhere'), 404);
    assert.strictEqual(err.reason, 'missing');
  });
  await check('post gives an id', async () => {
    const r = await db.post({x: 1});
    assert.ok(r.id.length > 8);
    await db.remove(r.id, r.rev);
  });
  await check('ids with every character', async () => {
    for (const id of ['a b', 'a/b', 'ä+ö?&=#%', '日本', 'x:y@z', '..x', '$']) {
      await db.put({_id: id, id});
      const doc = await db.get(id);
      assert.strictEqual(doc.id, id);
      await db.remove(doc);
    }
  });
  await check('a forbidden id', async () => { await fails(db.put({_id: '_wrong'}), 400); });
  await check('remove and a deleted document', async () => {
    await db.put({_id: 'gone', n: 1});
    await db.remove(await db.get('gone'));
    const err = await fails(db.get('gone'), 404);
    assert.strictEqual(err.reason, 'deleted');
    const again = await db.put({_id: 'gone', n: 2});
    assert.match(again.rev, /^3-/);
    await db.remove('gone', again.rev);
  });
  await check('revisions of a document', async () => {
    let {rev} = await db.put({_id: 'revs', n: 1});
    ({rev} = await db.put({_id: 'revs', _rev: rev, n: 2}));
    const doc = await db.get('revs', {revs: true, revs_info: true});
    assert.strictEqual(doc._revisions.start, 2);
    assert.strictEqual(doc._revisions.ids.length, 2);
    assert.strictEqual(doc._revs_info[0].status, 'available');
    await db.remove('revs', rev);
  });
  await check('local documents', async () => {
    const {rev} = await db.put({_id: '_local/note', n: 1});
    assert.strictEqual((await db.get('_local/note')).n, 1);
    await db.put({_id: '_local/note', _rev: rev, n: 2});
    assert.strictEqual((await db.get('_local/note')).n, 2);
    const doc = await db.get('_local/note');
    await db.remove(doc);
    await fails(db.get('_local/note'), 404);
  });

  await check('bulkDocs', async () => {
    const docs = [];
    for (let i = 0; i < 100; i++) docs.push({_id: 'bulk-' + String(i).padStart(3, '0'), n: i, kind: i % 2 ? 'odd' : 'even'});
    const results = await db.bulkDocs(docs);
    assert.strictEqual(results.filter(r => r.ok).length, 100);
    const again = await db.bulkDocs([docs[0], {_id: 'bulk-new'}]);
    assert.strictEqual(again[0].status, 409);
    assert.strictEqual(again[1].ok, true);
    await db.remove('bulk-new', again[1].rev);
  });
  await check('bulkGet', async () => {
    const {results} = await db.bulkGet({docs: [{id: 'bulk-001'}, {id: 'nowhere'}]});
    assert.strictEqual(results[0].docs[0].ok.n, 1);
    assert.ok(results[1].docs[0].error);
  });
  await check('allDocs, its ranges and keys', async () => {
    const all = await db.allDocs();
    assert.strictEqual(all.total_rows, 101);
    assert.strictEqual(all.rows.length, 101);
    const some = await db.allDocs({startkey: 'bulk-010', endkey: 'bulk-020', inclusive_end: false, include_docs: true});
    assert.deepStrictEqual(some.rows.map(r => r.doc.n), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    const back = await db.allDocs({startkey: 'bulk-020', endkey: 'bulk-010', descending: true, limit: 3, skip: 1});
    assert.deepStrictEqual(back.rows.map(r => r.id), ['bulk-019', 'bulk-018', 'bulk-017']);
    const keys = await db.allDocs({keys: ['bulk-005', 'nowhere', 'gone', 'bulk-001'], include_docs: true});
    assert.strictEqual(keys.rows[0].doc.n, 5);
    assert.strictEqual(keys.rows[1].error, 'not_found');
    assert.strictEqual(keys.rows[2].value.deleted, true);
    assert.strictEqual(keys.rows[3].doc.n, 1);
    assert.deepStrictEqual((await db.allDocs({key: 'bulk-007'})).rows.map(r => r.id), ['bulk-007']);
  });

  await check('changes from the beginning', async () => {
    const all = await db.changes({include_docs: true});
    assert.ok(all.results.length >= 102);
    assert.ok(all.results.find(r => r.id === 'gone').deleted);
    assert.strictEqual(new Set(all.results.map(r => r.id)).size, all.results.length);
    const none = await db.changes({since: all.last_seq});
    assert.strictEqual(none.results.length, 0);
  });
  await check('changes in pages', async () => {
    const seen = [];
    for (let since = 0; ;) {
      const page = await db.changes({since, limit: 7});
      if (page.results.length === 0) break;
      seen.push(...page.results.map(r => r.id));
      since = page.last_seq;
    }
    assert.strictEqual(new Set(seen).size, seen.length);
    assert.ok(seen.length >= 102);
  });
  await check('changes of some documents', async () => {
    const some = await db.changes({doc_ids: ['bulk-003', 'nowhere']});
    assert.deepStrictEqual(some.results.map(r => r.id), ['bulk-003']);
  });
  await check('changes live', async () => {
    const feed = db.changes({live: true, since: 'now', include_docs: true, heartbeat: 1000});
    const seen = [];
    feed.on('change', c => seen.push(c));
    await new Promise(r => setTimeout(r, 100)); // A feed says nothing when it has begun.
    await db.put({_id: 'live-1', n: 1});
    const {rev} = await db.put({_id: 'live-2', n: 2});
    await db.remove('live-2', rev);
    await eventually(() => {
      const last = id => seen.filter(c => c.id === id).pop();
      assert.strictEqual(last('live-1') && last('live-1').doc.n, 1);
      assert.ok(last('live-2') && last('live-2').deleted);
    });
    const done = event(feed, 'complete');
    feed.cancel();
    await done;
  });

  await check('createIndex and getIndexes', async () => {
    const first = await db.createIndex({index: {fields: ['kind', 'n'], name: 'kind-n', ddoc: 'kind-n'}});
    assert.strictEqual(first.result, 'created');
    const again = await db.createIndex({index: {fields: ['kind', 'n'], name: 'kind-n', ddoc: 'kind-n'}});
    assert.strictEqual(again.result, 'exists');
    const {indexes} = await db.getIndexes();
    assert.deepStrictEqual(indexes.map(i => i.name), ['_all_docs', 'kind-n']);
  });
  await check('find by an index', async () => {
    const {docs, warning} = await db.find({
      selector: {kind: 'odd', n: {$gte: 10, $lt: 20}}, sort: [{kind: 'desc'}, {n: 'desc'}], fields: ['_id', 'n'], use_index: 'kind-n',
    });
    assert.deepStrictEqual(docs, [19, 17, 15, 13, 11].map(n => ({_id: 'bulk-0' + n, n})));
    assert.strictEqual(warning, undefined);
  });
  await check('find with limit and skip', async () => {
    const {docs} = await db.find({selector: {kind: 'even', n: {$gte: 0}}, sort: ['kind', 'n'], limit: 3, skip: 2});
    assert.deepStrictEqual(docs.map(d => d.n), [4, 6, 8]);
  });
  await check('find without an index', async () => {
    const {docs, warning} = await db.find({selector: {n: {$in: [3, 5]}}});
    assert.deepStrictEqual(docs.map(d => d.n).sort(), [3, 5]);
    assert.match(warning, /[Nn]o matching index/);
  });
  await check('explain names the index', async () => {
    const plan = await db.explain({selector: {kind: 'odd', n: {$gt: 5}}, use_index: 'kind-n'});
    assert.strictEqual(plan.index.name, 'kind-n');
  });
  await check('find sees a write at once', async () => {
    await db.put({_id: 'late', kind: 'odd', n: 1000});
    assert.strictEqual((await db.find({selector: {kind: 'odd', n: 1000}})).docs.length, 1);
    await db.remove(await db.get('late'));
    assert.strictEqual((await db.find({selector: {kind: 'odd', n: 1000}})).docs.length, 0);
  });
  await check('deleteIndex', async () => {
    const {indexes} = await db.getIndexes();
    await db.deleteIndex(indexes[1]);
    assert.strictEqual((await db.getIndexes()).indexes.length, 1);
  });

  await check('counts at the end', async () => {
    const info = await db.info();
    assert.strictEqual(info.doc_count, 101 + 1);
  });
  await check('destroy', async () => {
    await db.destroy();
    const resp = await db.fetch('', {method: 'GET'});
    assert.strictEqual(resp.status, 404);
  });
});
