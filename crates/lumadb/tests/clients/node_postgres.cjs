// node-postgres: pools, typed results, prepared statements, cursors, streams, COPY, LISTEN, errors.
const assert = require('node:assert/strict')
const { pipeline } = require('node:stream/promises')
const { Readable, Writable } = require('node:stream')
const { Client, Pool, types } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const copy = require('pg-copy-streams')

const connectionString = process.argv[2]

async function values(client) {
  const cases = [
    ['bool', true], ['int2', -5], ['int4', 2147483647], ['float8', 0.25], ['text', 'é\'"\\'], ['varchar(4)', 'abcd'],
    ['jsonb', { a: [1, null, 'x'] }], ['int4[]', [1, null, 3]], ['text[]', ['a', '"', null, '']], ['uuid', '12345678-1234-5678-1234-567812345678'],
    ['int8', '9007199254740993'], ['numeric', '1234567890.123456789'], ['bytea', Buffer.from([0, 255])],
  ]
  for (const [type, value] of cases) {
    const given = type === 'jsonb' ? JSON.stringify(value) : value
    const { rows, fields } = await client.query(`SELECT $1::${type} AS v`, [given])
    assert.deepEqual(rows[0].v, value, type)
    assert.equal(fields[0].name, 'v')
    const nothing = await client.query(`SELECT $1::${type} AS v`, [null])
    assert.equal(nothing.rows[0].v, null)
    const prepared = { name: type, text: `SELECT $1::${type} AS v`, values: [given] }
    for (let run = 0; run < 2; run++) assert.deepEqual((await client.query(prepared)).rows[0].v, value, type)
  }
  const moment = new Date('2024-02-29T12:34:56.789Z')
  const { rows } = await client.query('SELECT $1::timestamptz AS at, $2::date AS day, $3::interval AS length', [moment, '2024-01-01', '1 day 02:00:00'])
  assert.equal(rows[0].at.getTime(), moment.getTime())
  assert.equal(rows[0].day.getFullYear(), 2024)
  assert.equal(rows[0].length.days, 1)
  const array = await client.query({ text: 'SELECT 1 AS a, 2 AS a', rowMode: 'array' })
  assert.deepEqual(array.rows, [[1, 2]])
  const two = await client.query('SELECT 1 AS one; SELECT 2 AS two')
  assert.deepEqual(two.map(result => result.rows[0]), [{ one: 1 }, { two: 2 }])
}

async function tables(client) {
  await client.query('CREATE TABLE person (id serial PRIMARY KEY, name text UNIQUE NOT NULL, age int CHECK (age > 0), info jsonb)')
  const added = await client.query('INSERT INTO person (name, age, info) VALUES ($1, $2, $3) RETURNING *', ['Ann', 30, { a: 1 }])
  assert.equal(added.command, 'INSERT')
  assert.equal(added.rowCount, 1)
  assert.deepEqual(added.rows[0], { id: 1, name: 'Ann', age: 30, info: { a: 1 } })
  for (let n = 0; n < 20; n++) {
    await client.query({ name: 'add', text: 'INSERT INTO person (name, age) VALUES ($1, $2)', values: [`p${n}`, n + 1] })
  }
  const found = await client.query({ name: 'find', text: 'SELECT name FROM person WHERE age = ANY($1) ORDER BY age', values: [[1, 2]] })
  assert.deepEqual(found.rows.map(row => row.name), ['p0', 'p1'])
  assert.equal((await client.query('UPDATE person SET age = age + 1 WHERE age > $1', [10])).rowCount, 11)
  for (const [text, parameters, code, constraint] of [
    ['INSERT INTO person (name) VALUES ($1)', ['Ann'], '23505', 'person_name_key'],
    ['INSERT INTO person (name, age) VALUES ($1, $2)', ['Bad', -1], '23514', 'person_age_check'],
    ['INSERT INTO person (name) VALUES ($1)', [null], '23502', undefined],
    ['SELECT * FROM nobody', [], '42P01', undefined],
    ['SELECT $1::int', ['x'], '22P02', undefined],
  ]) {
    const error = await client.query(text, parameters).then(() => assert.fail(text), error => error)
    assert.equal(error.code, code)
    assert.equal(error.constraint, constraint)
    if (code === '23505') assert.deepEqual([error.table, error.schema, error.detail], ['person', 'public', 'Key (name)=(Ann) already exists.'])
    if (code === '23502') assert.deepEqual([error.table, error.column], ['person', 'name'])
  }
  await client.query('BEGIN')
  await client.query('DELETE FROM person')
  await client.query('ROLLBACK')
  assert.equal((await client.query('SELECT count(*)::int AS n FROM person')).rows[0].n, 21)
}

async function streams(client) {
  const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, $1::int) AS g(n)', [250]))
  assert.equal((await cursor.read(100)).length, 100)
  assert.equal((await cursor.read(200)).length, 150)
  assert.equal((await cursor.read(1)).length, 0)
  await cursor.close()
  let seen = 0
  for await (const row of client.query(new QueryStream('SELECT n FROM generate_series(1, 1000) AS g(n)', [], { batchSize: 100 }))) seen += row.n
  assert.equal(seen, 500500)
  await client.query('CREATE TABLE copied (id int, word text)')
  const lines = Array.from({ length: 1000 }, (_, n) => `${n}\tword ${n}\n`)
  await pipeline(Readable.from(lines), client.query(copy.from('COPY copied FROM STDIN')))
  let text = ''
  await pipeline(client.query(copy.to('COPY (SELECT * FROM copied ORDER BY id) TO STDOUT')), new Writable({ write(chunk, _, done) { text += chunk; done() } }))
  assert.equal(text, lines.join(''))
}

async function news(client) {
  const heard = new Promise(resolve => client.once('notification', resolve))
  await client.query('LISTEN channel')
  const other = new Client({ connectionString })
  await other.connect()
  await other.query("SELECT pg_notify('channel', 'payload')")
  const said = await heard
  assert.deepEqual([said.channel, said.payload], ['channel', 'payload'])
  const notice = new Promise(resolve => client.once('notice', resolve))
  await client.query('DROP TABLE IF EXISTS nothing_there')
  assert.match((await notice).message, /does not exist, skipping/)
  await client.query("SET statement_timeout = '50ms'")
  await assert.rejects(client.query('SELECT pg_sleep(5)'), { code: '57014' })
  await client.query('RESET statement_timeout')
  const slow = client.query('SELECT pg_sleep(20)')
  const canceled = new Promise(resolve => setTimeout(resolve, 100)).then(() => other.query('SELECT pg_cancel_backend($1) AS done', [client.processID]))
  await assert.rejects(slow, { code: '57014' })
  assert.equal((await canceled).rows[0].done, true)
  await other.end()
}

async function pools() {
  const pool = new Pool({ connectionString, max: 4 })
  const all = await Promise.all(Array.from({ length: 50 }, (_, n) => pool.query('SELECT $1::int AS n', [n])))
  assert.deepEqual(all.map(result => result.rows[0].n), Array.from({ length: 50 }, (_, n) => n))
  await pool.end()
}

async function main() {
  const client = new Client({ connectionString, application_name: 'node' })
  await client.connect()
  for (const step of [values, tables, streams, news]) {
    try {
      await step(client)
    } catch (error) {
      if (!process.argv.includes('--all')) throw error
      console.log('FAILED', step.name, error)
    }
  }
  await client.end()
  await pools()
  console.log('pg', require('pg/package.json').version)
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1) })
