// Attachments of text and of bytes, one by one and with their documents.
'use strict';
const {assert, check, remote, local, fails, run} = require('./checks');

const text = 'héllo wörld\n'.repeat(1000);
const bytes = Buffer.alloc(700000);
for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7919) >> 5;

run(async () => {
  const db = await remote();
  let rev;
  await check('putAttachment', async () => {
    ({rev} = await db.putAttachment('a', 'text', Buffer.from(text), 'text/plain'));
    ({rev} = await db.putAttachment('a', 'some bytes/ä', rev, bytes, 'application/octet-stream'));
    assert.match(rev, /^2-/);
  });
  await check('getAttachment', async () => {
    assert.ok(bytes.equals(await db.getAttachment('a', 'some bytes/ä')));
    assert.strictEqual((await db.getAttachment('a', 'text')).toString(), text);
  });
  await check('a stale putAttachment', async () => {
    await fails(db.putAttachment('a', 'text', '1-0123456789abcdef0123456789abcdef', bytes, 'image/png'), 409);
  });
  await check('stubs', async () => {
    const doc = await db.get('a');
    assert.strictEqual(doc._attachments.text.stub, true);
    assert.strictEqual(doc._attachments['some bytes/ä'].length, bytes.length);
    assert.match(doc._attachments['some bytes/ä'].digest, /^md5-/);
    ({rev} = await db.put({...doc, n: 1}));
    assert.ok(bytes.equals(await db.getAttachment('a', 'some bytes/ä')));
  });
  await check('all of them with the document', async () => {
    const doc = await db.get('a', {attachments: true});
    assert.ok(bytes.equals(Buffer.from(doc._attachments['some bytes/ä'].data, 'base64')));
    assert.strictEqual(Buffer.from(doc._attachments.text.data, 'base64').toString(), text);
  });
  await check('inline', async () => {
    await db.put({_id: 'b', _attachments: {
      one: {content_type: 'text/plain', data: Buffer.from('one').toString('base64')},
      none: {content_type: 'application/octet-stream', data: ''},
    }});
    assert.strictEqual((await db.getAttachment('b', 'one')).toString(), 'one');
    assert.strictEqual((await db.getAttachment('b', 'none')).length, 0);
  });
  await check('removeAttachment', async () => {
    ({rev} = await db.removeAttachment('a', 'text', rev));
    await fails(db.getAttachment('a', 'text'), 404);
    assert.deepStrictEqual(Object.keys((await db.get('a'))._attachments), ['some bytes/ä']);
  });
  await check('a missing attachment', async () => { await fails(db.getAttachment('b', 'nothing'), 404); });
  await check('a document that is not there', async () => { await fails(db.getAttachment('nowhere', 'one'), 404); });

  const there = local();
  await check('they are replicated out', async () => {
    const result = await db.replicate.to(there);
    assert.deepStrictEqual(result.errors, []);
    assert.ok(bytes.equals(await there.getAttachment('a', 'some bytes/ä')));
    assert.strictEqual((await there.getAttachment('b', 'one')).toString(), 'one');
  });
  const back = await remote();
  await check('and in', async () => {
    await there.putAttachment('c', 'text', Buffer.from(text), 'text/plain');
    const result = await back.replicate.from(there);
    assert.deepStrictEqual(result.errors, []);
    assert.ok(bytes.equals(await back.getAttachment('a', 'some bytes/ä')));
    assert.strictEqual((await back.getAttachment('c', 'text')).toString(), text);
  });
});
