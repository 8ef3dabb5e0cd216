//! Valid inputs of every target: what a corpus starts from.

use ditto_crdt::Sequence;
use ditto_replication::limits::MAX_MESSAGE_BYTES;
use ditto_storage::Keyspace;
use ditto_store::Store;
use ditto_transport::frame;
use ditto_transport::wire::{Cause, LinkFrame};
use ditto_value::{Object, Value, key};

use crate::database;
use crate::session::{MANY, messages};

const VALUES: [&str; 16] = [
    "null",
    "[true, false, null]",
    "0",
    "-1",
    "9223372036854775807",
    "18446744073709551615",
    "-9223372036854775808",
    "[1.5, -0.0, 1e300, 5e-324, 0.1, 1e19, -1e19, 18446744073709551616]",
    "\"\"",
    "\"text with \\u0000, \\u00e9 and \\ud83e\\udd80\"",
    "[]",
    "{}",
    "{\"a\": {\"b\": {\"c\": [1, [2, [3]]]}}, \"\": 1, \"\\u0000\\u0001\": 2}",
    "{\"_id\": 1, \"name\": \"fern\", \"care\": {\"light\": 6, \"water\": [1, 2.5, null]}, \"tags\": [\"x\", \"y\"]}",
    "[255, 256, 65535, 65536, -128, -129, -32768, 4294967296]",
    "[\"0123456789012345678901234567890123456789\", {\"a0123456789\": [], \"b0123456789\": {}}]",
];

const STATEMENTS: [&str; 44] = [
    "SELECT * FROM plants",
    "SELECT DISTINCT name AS n, care.light FROM plants p WHERE p.height > 1 ORDER BY name DESC, _id LIMIT 3 OFFSET 1",
    "SELECT COUNT(*) AS n, SUM(height), AVG(height), MIN(name), MAX(_id) FROM plants GROUP BY care.light HAVING COUNT(*) > 0",
    "SELECT p.*, upper(name) || '!' AS loud FROM plants p WHERE name LIKE '%e_n' OR name ILIKE 'O%' AND NOT (height IS NULL)",
    "SELECT * FROM plants WHERE _id IN [1, 'b', [1, true], {'a': 1}] AND height BETWEEN 0 AND 10",
    "SELECT * FROM plants WHERE ANY t IN tags SATISFIES t = 'x' END",
    "SELECT * FROM plants WHERE EVERY k:v WITHIN care SATISFIES v IS NOT MISSING END",
    "SELECT ARRAY t || 'z' FOR t IN tags WHEN t != 'y' END AS ts, OBJECT k:v + 1 FOR k:v IN care END AS o FROM plants",
    "SELECT CASE WHEN height > 5 THEN 'tall' WHEN height IS MISSING THEN 'none' ELSE 'low' END AS h FROM plants",
    "SELECT CASE name WHEN 'fern' THEN 1 END, ifmissing(a, 1), coalesce(a, b, 3), nvl(a, 2) FROM plants",
    "SELECT cast(height AS string), cast('7' AS int), cast(1 AS boolean), TRIM(BOTH 'x' FROM name) FROM plants",
    "SELECT date_format(0, '%Y-%m-%d'), date_add('2024-01-31T00:00:00Z', 'month', 1), date_part('2024-02-29', 'dow') FROM system:dual",
    "SELECT 1 + 2 * 3 - 4 / 5 % 6, -(-1), 7 & 3 | 4 ^ 1, 1 << 3, 0x1f, 1e3, 'it''s', \"quoted\", `name` FROM plants",
    "SELECT [1, [2, 3]][1][0] AS x, {'a': {'b': 1}}.a.b AS y, tags[0], tags[-1], tags[0:1] FROM plants",
    "SELECT object_keys(care), object_values(care), array_length(tags), array_contains(tags, 'x'), array_sort(tags) FROM plants",
    "SELECT regexp_like(name, '^f.*n$'), substr(name, 1, 2), replace(name, 'e', 'E'), split(name, 'e'), lpad(name, 9, '*') FROM plants",
    "SELECT round(2.567, 1), floor(-0.5), abs(-3), power(2, 10), sqrt(2), sign(-2) FROM plants",
    "SELECT * FROM plants WHERE a = :a OR height XOR true AND name SIMILAR TO '(f|o)%' ESCAPE '!'",
    "SELECT * FROM COLLECTION plants (rings COUNTER, mass PN_COUNTER, care MAP(light REGISTER), a ATTACHMENT)",
    "SELECT * FROM plants USE IDS LIST [1, 'b']",
    "SELECT * FROM plants USE INDEX (by_height) WHERE height = 3",
    "SELECT * FROM system:collections",
    "SELECT * FROM system:indexes",
    "INSERT INTO plants DOCUMENTS (:d), ({'_id': 9, 'care': {'light': 1}}) ON ID CONFLICT DO UPDATE",
    "INSERT INTO plants DOCUMENTS ({'_id': 'z', 'tags': [1, 2.5, null, {'a': []}]}) ON ID CONFLICT DO NOTHING RETURNING *",
    "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 's', 'a': 1})",
    "INSERT INTO COLLECTION plants (n COUNTER) VALUES ({'_id': 'n', 'n': 5}) ON ID CONFLICT DO UPDATE_LOCAL_DIFF",
    "INSERT INTO pots (SELECT name AS _id, height FROM plants WHERE name IS NOT MISSING)",
    "UPDATE plants SET care.light = height + 1, name = upper(name) UNSET tags WHERE _id = 1 RETURNING name",
    "UPDATE plants APPLY rings INCREMENT BY 1, mass PN_INCREMENT BY 0.5 WHERE height > 0",
    "UPDATE plants APPLY rings RESTART WITH 10",
    "UPDATE plants SET care -> (light = 1, soil -> (ph = 7)), name -> tombstone()",
    "DELETE FROM plants WHERE height < 5 ORDER BY name LIMIT 2 RETURNING _id",
    "EVICT FROM plants WHERE _id IN :a LIMIT 1 OFFSET 1",
    "CREATE INDEX IF NOT EXISTS by_height ON plants (height DESC, care.light)",
    "DROP INDEX IF EXISTS by_height ON plants",
    "EXPLAIN SELECT * FROM plants WHERE height = 3 ORDER BY height",
    "PROFILE SELECT * FROM plants",
    "ADVISE SELECT * FROM plants WHERE height = 3",
    "SHOW ALL",
    "SHOW document_size_soft_limit_bytes",
    "ALTER SYSTEM SET dql_strict_mode = true",
    "ALTER SYSTEM RESET dql_strict_mode",
    "--+ {\"#index\": \"by_height\"}\nSELECT /*+ {} */ * FROM plants -- the end\n;",
];

/// Name of the target and input.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    for text in VALUES {
        let value = Value::from_json(text).expect("JSON");
        seeds.push(("binary", value.encode()));
        seeds.push(("cbor", value.to_cbor()));
        seeds.push(("json", text.as_bytes().to_vec()));
        seeds.push(("key", key::of(&value)));
        let mut descending = Vec::new();
        key::encode_descending(&value, &mut descending);
        seeds.push(("key", descending));
    }
    // What other encoders write: indefinite lengths, tags, half-precision floats.
    seeds.push(("cbor", b"\xbf\x61a\x9f\x01\xff\x61b\x7f\x61x\x61y\xff\x61c\xc0\x5f\x41z\xff\xff".to_vec()));
    seeds.push(("cbor", b"\x83\xf9\x3c\x00\xfa\x3f\x80\x00\x00\xf7".to_vec()));
    seeds.extend(STATEMENTS.map(|text| ("dql", text.as_bytes().to_vec())));
    documents(&mut seeds);
    sessions(&mut seeds);
    rows(&mut seeds);
    frames(&mut seeds);
    arguments(&mut seeds);
    packed_sessions(&mut seeds);
    reconciling_sessions(&mut seeds);
    seeds
}

/// Deltas in pairs, and records.
fn documents(seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    let stores = [database::database(1), database::database(2)];
    for statement in [
        "UPDATE plants SET care.light = 9, name = 'theirs' WHERE _id = 1",
        "UPDATE plants APPLY rings INCREMENT BY -3, mass PN_INCREMENT BY 1.25",
        "DELETE FROM plants WHERE _id = 'b'",
        "INSERT INTO plants DOCUMENTS ({'_id': 'b', 'name': 'anew'})",
    ] {
        stores[1].execute(statement, &Object::new()).expect("memory takes every write");
    }
    let of = |store: &Store, after: u64| -> Vec<Vec<u8>> {
        let replica = store.replica();
        let changes = replica.changes(Sequence::ZERO, Sequence(u64::MAX), 100).expect("it can be read");
        let delta = |key| {
            replica.delta_since(key, Sequence(after)).expect("it can be read").expect("it is there").delta
        };
        let mut deltas: Vec<_> =
            changes.iter().map(|change| (change.key.clone(), delta(&change.key))).collect();
        deltas.sort();
        deltas.into_iter().map(|(_, delta)| delta).collect()
    };
    for ((one, two), recent) in of(&stores[0], 0).iter().zip(of(&stores[1], 0)).zip(of(&stores[1], 12)) {
        for other in [two, recent] {
            seeds.push(("delta", [&(one.len() as u16).to_be_bytes(), &one[..], &other].concat()));
        }
    }
    for store in &stores {
        let snapshot = store.storage().snapshot();
        for row in snapshot.prefix(Keyspace::Documents, &[], ditto_storage::Direction::Forward) {
            seeds.push(("record", row.expect("memory can be read").1.to_vec()));
        }
    }
}

fn sessions(seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    // Honest all the way: messages go back and forth, writes and syncs between.
    let exchange = [2, 7, 7, 2, 2, 7, 7, 9];
    seeds.push(("session", exchange.repeat(8)));
    seeds.push((
        "session",
        [
            &exchange.repeat(3)[..],
            &[8, 2, 9, 8, 3, 9],
            &exchange.repeat(3),
            &[8, 6, 8, 7, 9],
            &exchange.repeat(2),
        ]
        .concat(),
    ));
    seeds.push(("session", [&exchange.repeat(2)[..], &[8, 8, 11, 200], &exchange.repeat(2)].concat()));
    seeds.push(("session", [&[2, 7, 5, 0, 9, 1][..], &exchange.repeat(2)].concat()));
    // What was said there, said by an attacker.
    let messages = messages(false);
    let raw = |message: &Vec<u8>| [&[0][..], &(message.len() as u16).to_be_bytes(), message].concat();
    seeds.push(("session", messages.iter().flat_map(raw).collect()));
    for message in messages.iter().skip(1) {
        seeds.push(("session", [&[2, 7][..], &raw(message)].concat()));
    }
}

/// What an honest peer says, packed by an attacker: once, twice, with another length, and much of one byte.
fn packed_sessions(seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    fn varint(mut value: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }
    let packed = |length: usize, block: &[u8]| {
        [&[13, 2][..], &varint(length), &[5], &varint(block.len()), block].concat()
    };
    // Nothing but literals, fewer than 15 or more, fewer than 270.
    let literals = |message: &[u8]| match message.len() {
        length @ ..15 => [&[16 * length as u8][..], message].concat(),
        length => [&[0xF0, (length - 15) as u8][..], message].concat(),
    };
    let said = |message: &[u8]| [&[0][..], &(message.len() as u16).to_be_bytes(), message].concat();
    let messages = messages(false);
    let mut all = vec![2, 7];
    for message in messages.iter().skip(1).filter(|message| message.len() < 270) {
        all.extend(said(&packed(message.len(), &literals(message))));
    }
    seeds.push(("session", all));
    let long = messages.iter().find(|message| message.first() == Some(&13));
    let long = long.expect("the first batch is long enough to be packed");
    seeds.push(("session", [&[2, 7][..], &said(long)].concat()));
    let acknowledge = [8, 2, 1];
    let inner = packed(acknowledge.len(), &literals(&acknowledge));
    seeds.push(("session", [&[2, 7][..], &said(&packed(inner.len(), &literals(&inner)))].concat()));
    for length in [0, 2, 4, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1] {
        seeds.push(("session", [&[2, 7][..], &said(&packed(length, &literals(&acknowledge)))].concat()));
    }
    let bomb = [&[0x1F, 7, 1, 0][..], &[0xFF; 2_100], &[0]].concat();
    seeds.push(("session", [&[2, 7][..], &said(&packed(MAX_MESSAGE_BYTES, &bomb))].concat()));
}

/// Sessions of two that both hold much and have no checkpoint.
fn reconciling_sessions(seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    // Both write, and connect again; before that nothing was said.
    let begin = [8, 2 * MANY, 8, 2 * MANY + 1, 9, 12];
    let exchange = [2, 7, 7, 2, 2, 7, 7, 9];
    seeds.push(("session", [&begin[..], &exchange.repeat(12)].concat()));
    let meanwhile = [[8, 2, 8, 3], [8, 6, 8, 7], [8, 8, 8, 9]];
    for writes in meanwhile {
        seeds.push(("session", [&begin[..], &exchange, &writes, &exchange.repeat(8)].concat()));
    }
    seeds.push(("session", [&begin[..], &exchange.repeat(2), &[12], &exchange.repeat(8)].concat()));
    let raw = |message: &Vec<u8>| [&[0][..], &(message.len() as u16).to_be_bytes(), message].concat();
    let mut messages = messages(true);
    // A name for generation 1; inquiries for a range and for a narrower one; symbols of the range 110, and that there are none.
    messages.push([&[18, 2, 1, 5, 16][..], &[7; 16]].concat());
    messages.push(vec![17, 2, 1, 4, 8, 8, 1]);
    messages.push(vec![17, 2, 1, 4, 8, 8, 3, 10, 6]);
    messages.push(vec![16, 2, 1, 14, 3, 16, 6]);
    messages.push(vec![16, 2, 1, 14, 1]);
    seeds.push(("session", [&begin[..], &messages.iter().flat_map(raw).collect::<Vec<u8>>()].concat()));
    // Symbols, Inquiry, Names and Settled, each twice and at the wrong time.
    for message in
        messages.iter().filter(|message| message.first().is_some_and(|kind| (16..20).contains(kind)))
    {
        seeds.push((
            "session",
            [&begin[..], &exchange, &raw(message), &raw(message), &exchange.repeat(4)].concat(),
        ));
    }
}

fn rows(seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    let count = database::prototype().len();
    for row in 0..count as u8 {
        seeds.push(("rows", vec![0, row, 0, 1, 0xFF, 0, row, 0, 9, 1]));
    }
    seeds.push(("rows", vec![5, 3, 4, 9, 0, 4, 6, 1, 2, 2, 5, 0, 0, 7]));
    seeds.push(("rows", b"\x07\x00\x01\x00\x05\x00\x00\x00\x01x\x00\x02yz".to_vec()));
}

fn frames(seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    let frames = [
        LinkFrame::Ping,
        LinkFrame::Pong,
        LinkFrame::Greeting { number: 7 },
        LinkFrame::Goodbye { cause: Cause::Redundant, reason: "why é".into() },
    ];
    let mut stream = vec![0];
    for linked in &frames {
        let encoded = linked.encode();
        seeds.push(("frames", [&[2][..], &encoded[4..]].concat()));
        stream.extend_from_slice(&encoded);
    }
    frame::push_frame(&mut stream, &[7; 40]);
    seeds.push(("frames", [&[1][..], &stream[1..]].concat()));
    seeds.push(("frames", stream));
    let key = ditto_mesh::PeerKey::from([0xAB; 32]).to_string();
    seeds.push(("frames", [&[3][..], key.as_bytes()].concat()));
    // The head of an Ed25519 key pair in PKCS#8 form, and a key that nobody has.
    let pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    seeds.push(("frames", [&[3][..], pkcs8, &[0x42; 32]].concat()));
}

fn arguments(seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    let given = Value::from_json(
        r#"{"d": {"_id": 1, "a": 1, "m": {"b": [1.5, null]}}, "e": [{"_id": "x"}], "a": 1, "b": "y", "id": 1, "ids": [1, "x"], "by": 2}"#,
    );
    let given = given.expect("JSON").to_cbor();
    for function in 0..4 {
        for statement in 0..8 {
            seeds.push(("abi", [&[function, statement][..], &given].concat()));
        }
    }
    let text = b"SELECT * FROM plants WHERE a = :a";
    seeds.push(("abi", [&[0, 9, 0, text.len() as u8][..], text, &given].concat()));
    let transports = r#"{"listen": {"tcp": {"enabled": true, "interface_ip": "[::]", "port": 4040}}, "connect": {"tcp_servers": ["a:1"],
        "websocket_urls": ["wss://x"], "retry_interval": 100}, "peer_to_peer": {"lan": {"enabled": true, "mdns_enabled": true}}, "global": {"sync_group": 1}}"#;
    seeds.push(("abi", [&[4][..], transports.as_bytes()].concat()));
    let config = r#"{"database_id": "d", "connect": {"type": "small_peers_only", "private_key": null}, "directory": null,
        "device_name": "n", "in_memory": true, "system_parameters": {"dql_strict_mode": true}}"#;
    let config = Value::from_json(config).expect("JSON").to_cbor();
    seeds.push(("abi", [&[5][..], &config].concat()));
}
