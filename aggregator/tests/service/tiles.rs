//! The log as tiles, read and proved by a public implementation of the formats alone: `tlog_tiles` and
//! `signed_note`, which know nothing of Ringfence.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ed25519_dalek::{Signature, VerifyingKey};
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::log::{NoteKey, SignedNote, Witness, origin};
use ringfence_crypto::statement::{HexBytes, RoundKeys};
use signed_note::{Note, StandardVerifier, Verifier, VerifierList, key_id};
use tlog_tiles::{
    Checkpoint, Error, Hash, HashReader, Tile, TileHashReader, TileReader, check_record,
    check_tree, prove_record, prove_tree, record_hash, stored_hash_index, tree_hash,
};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::child::{Aggregator, Client};
use crate::play::Play;
use crate::roster::{Roster, Shape, now};

/// Tiles as the specification has them: 256 wide.
const HEIGHT: u8 = 8;

/// Reads tiles over HTTP, and keeps what was proved.
struct Http<'a> {
    client: &'a Client,
    log: String,
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Http<'_> {
    fn get(&self, path: &str) -> crate::child::Answer {
        let path = format!("{}/{path}", self.log);
        block_in_place(|| Handle::current().block_on(self.client.get(&path)))
    }

    /// The library has the height in its paths, and calls entries data.
    fn path(tile: &Tile) -> String {
        let path = tile.path();
        let rest = path.strip_prefix("tile/8/").unwrap();
        format!("tile/{}", rest.replacen("data", "entries", 1))
    }

    /// What every leaf of a log of this size holds, from its tiles of entries.
    fn entries(&self, size: u64) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for start in (0..size).step_by(256) {
            let width = (size - start).min(256) as u32;
            let tile = Tile::new(HEIGHT, 0, start / 256, width, true);
            let bundle = self.get(&Self::path(&tile)).ok().bytes;
            let (mut rest, mut count) = (&bundle[..], 0);
            while let Some((length, left)) = rest.split_first_chunk::<2>() {
                let (data, left) = left.split_at(u16::from_be_bytes(*length).into());
                all.push(data.to_vec());
                (rest, count) = (left, count + 1);
            }
            assert_eq!((count, rest.len()), (width, 0));
        }
        all
    }

    /// The checkpoint, if the log's key has signed it.
    fn checkpoint(&self, verifier: &str, query: &str) -> (Checkpoint, Note) {
        let bytes = self.get(&format!("checkpoint{query}")).ok().bytes;
        let note = Note::from_bytes(&bytes).unwrap();
        let known = VerifierList::new(vec![Box::new(StandardVerifier::new(verifier).unwrap())]);
        assert_eq!(note.verify(&known).unwrap().0.len(), 1);
        (Checkpoint::from_bytes(note.text()).unwrap(), note)
    }
}

impl TileReader for Http<'_> {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(tiles.iter().map(|tile| self.get(&Self::path(tile)).ok().bytes).collect())
    }

    fn save_tiles(&self, tiles: &[Tile], data: &[Vec<u8>]) {
        let mut kept = self.kept.lock().unwrap();
        kept.extend(tiles.iter().map(Self::path).zip(data.iter().cloned()));
    }
}

/// So many statements of round keys, a leaf each.
async fn publish(play: &Play, rounds: std::ops::Range<u32>) {
    for round in rounds {
        for site in play.ids() {
            let path = format!("{}/round-keys/{site}", play.roster.path());
            let (study, first_round) = (play.roster.id(), RoundNumber(round));
            let keys = vec![HexBytes(vec![(round % 13) as u8; 1216])];
            let statement = RoundKeys { study, site: site.clone(), first_round, keys };
            play.client.put_json(&path, &play.roster.signed(site, statement)).await.ok();
        }
    }
}

/// All hashes of level 0 before `size` that a proof may need, from tiles that were authenticated.
fn leaf_hashes(reader: &TileHashReader<'_>, size: u64) -> Vec<Hash> {
    let indices: Vec<u64> = (0..size).map(|leaf| stored_hash_index(0, leaf)).collect();
    reader.read_hashes(&indices).unwrap()
}

async fn a_log_is_read(mut aggregator: Aggregator) {
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster.clone(), 600).await;
    publish(&play, 1..20).await;
    let client = aggregator.client();
    let log = format!("{}/log", roster.path());
    let http = Http { client: &client, log, kept: Mutex::default() };
    let verifier = NoteKey::new(&origin(roster.id()), aggregator.key).unwrap().to_string();
    let (before, _) = http.checkpoint(&verifier, "");
    let early: Vec<Vec<u8>> = http.entries(before.size());
    let first = http.get(&format!("tile/0/000.p/{}", before.size())).ok().bytes;

    publish(&play, 20..70).await;
    aggregator.kill();
    aggregator.restart();
    let client = aggregator.client();
    let http = Http { client: &client, ..http };
    let (now, _) = http.checkpoint(&verifier, "");
    assert_eq!((before.size(), now.size()), (1 + 19 * 5, 1 + 69 * 5));
    let reader = TileHashReader::new(now.size(), *now.hash(), &http);

    // What each leaf holds is what its hash is of, and the log goes on from where it was.
    let entries = http.entries(now.size());
    let hashes = leaf_hashes(&reader, now.size());
    assert!(entries.iter().map(|data| record_hash(data)).eq(hashes));
    assert_eq!(entries[..early.len()], early, "after a kill");
    let (size, root) = (now.size(), *now.hash());
    for leaf in [0, 1, 95, 96, 255, 256, size - 1] {
        let proof = prove_record(size, leaf, &reader).unwrap();
        let hash = record_hash(&entries[leaf as usize]);
        check_record(&proof, size, root, leaf, hash).unwrap();
        check_record(&proof, size, root, leaf, record_hash(b"another")).unwrap_err();
    }
    assert_eq!(tree_hash(before.size(), &reader).unwrap(), *before.hash());
    let proof = prove_tree(size, before.size(), &reader).unwrap();
    check_tree(&proof, size, root, before.size(), *before.hash()).unwrap();
    check_tree(&proof, size, root, before.size(), root).unwrap_err();

    // A tile never changes, and is there as soon as the log has it, at any width.
    assert!(!http.kept.lock().unwrap().is_empty());
    for (path, bytes) in http.kept.lock().unwrap().iter() {
        let again = http.get(path).ok();
        assert_eq!(again.bytes, *bytes, "{path}");
        assert_eq!(again.headers["cache-control"], "private, max-age=31536000, immutable");
        assert_eq!(again.kind, "application/octet-stream");
    }
    let full = http.get("tile/0/000").ok().bytes;
    assert_eq!(full.len(), 256 * 32);
    assert!(full.starts_with(&first));
    assert_eq!(http.get("tile/0/000.p/255").ok().bytes, full[..255 * 32]);
    assert_eq!(http.get("tile/1/000.p/1").ok().bytes, Tile::subtree_hash(&full).0);
    let rest = size - 256;
    http.get(&format!("tile/0/001.p/{rest}")).ok();
    for (missing, words) in [
        ("tile/0/001".to_owned(), "has 346 leaves, too few"),
        (format!("tile/0/001.p/{}", rest + 1), "too few"),
        (format!("tile/entries/001.p/{}", rest + 1), "too few"),
        ("tile/1/000".to_owned(), "too few"),
        ("tile/9/000".to_owned(), "too few"),
        ("tile/0/x999/x999/x999/x999/x999/999".to_owned(), "too few"),
        ("tile/0/0".to_owned(), "x001/x234/067"),
        ("tile/data/000".to_owned(), "x001/x234/067"),
        ("tile/0/000.p/256".to_owned(), "from 1 to 255"),
        ("tile/0/000/001".to_owned(), "x001/x234/067"),
    ] {
        http.get(&missing).refused(404, &[words]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_implementation_reads_the_log() {
    a_log_is_read(Aggregator::start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_over_the_other_store() {
    if let Some(aggregator) = Aggregator::start_on_engines() {
        a_log_is_read(aggregator).await;
    }
}

/// A witness by C2SP's tlog-cosignature, as anybody would write it beside `signed_note`.
struct Cosigner {
    name: String,
    key: VerifyingKey,
}

impl Verifier for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        key_id(&self.name, &[&[4], &self.key.as_bytes()[..]].concat())
    }

    fn verify(&self, text: &[u8], cosignature: &[u8]) -> bool {
        let Some((time, signature)) = cosignature.split_first_chunk::<8>() else { return false };
        let time = format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time));
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.key.verify_strict(&[time.as_bytes(), text].concat(), &signature).is_ok()
    }
}

/// What a site sends as a witness of this state.
pub(crate) fn cosigned(roster: &Roster, site: usize, note: &str, at: UnixSeconds) -> String {
    let (id, key) = (&roster.ids[site], &roster.keys[site]);
    let witness = Witness::site(roster.id(), id, key.verifying_key().into()).unwrap();
    let mut note: SignedNote = note.parse().unwrap();
    note.keep_only(&origin(roster.id()));
    let cosignature = witness.cosign(&note, at, key);
    witness.attach(&mut note, &cosignature);
    note.to_string()
}

async fn witnesses_are_shown(mut aggregator: Aggregator) {
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster.clone(), 600).await;
    let log = format!("{}/log", roster.path());
    let of = |site: usize| format!("{log}/cosignatures/{}", roster.ids[site]);
    let checkpoint = async |client: &Client, query: &str| {
        let answer = client.get(&format!("{log}/checkpoint{query}")).await.ok();
        String::from_utf8(answer.bytes).unwrap()
    };
    let early = checkpoint(&play.client, "").await;
    play.contribute(&roster.ids[0]).await;
    let late = checkpoint(&play.client, "").await;
    let put = async |site: usize, note: &str| play.client.put(&of(site), note.to_owned()).await;
    play.client.get(&of(0)).await.refused(404, &["has cosigned no checkpoint"]);
    let none: Vec<String> = play.client.get(&format!("{log}/cosignatures")).await.json();
    assert!(none.is_empty());

    let at = now();
    let first = cosigned(&roster, 0, &early, at);
    assert_eq!(put(0, &first).await.status, 201);
    assert_eq!(put(0, &first).await.status, 200, "the same again");
    assert_eq!(put(1, &cosigned(&roster, 1, &late, at)).await.status, 201);
    assert_eq!(put(0, &cosigned(&roster, 0, &late, at)).await.status, 201);
    put(0, &first).await.refused(409, &["has cosigned a log of 3 leaves", "the other one stays"]);
    let earlier = cosigned(&roster, 0, &late, at.earlier(9));
    put(0, &earlier).await.refused(409, &["a later time"]);
    assert_eq!(put(2, &cosigned(&roster, 2, &early, at)).await.status, 201);

    // Another's line, no line, none of this log, of a log that is not there, of another history.
    let another = cosigned(&roster, 1, &late, at);
    put(3, &another).await.refused(403, &["no signature by ringfence/", "site-3"]);
    put(3, &late).await.refused(403, &["no signature by"]);
    let mut flipped = cosigned(&roster, 3, &late, at);
    let place = flipped.len() - 10;
    flipped.replace_range(place..=place, if &flipped[place..=place] == "A" { "B" } else { "A" });
    put(3, &flipped).await.refused(403, &["does not verify"]);
    put(3, "text").await.refused(400, &["a blank line"]);
    put(3, &"\u{2014} a bcde\n".repeat(400)).await.refused(413, &["4096 bytes"]);
    let lines: Vec<&str> = late.lines().collect();
    let forged = |size: &str, root: &str, origin: &str| {
        format!("{origin}\n{size}\n{root}\n\n{}\n", lines[4])
    };
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let fork = cosigned(&roster, 3, &forged("3", root, lines[0]), at);
    put(3, &fork).await.refused(409, &["two histories of this study"]);
    let ahead = cosigned(&roster, 3, &forged("9", root, lines[0]), at);
    put(3, &ahead).await.refused(404, &["has 3 leaves, 9 were asked for"]);
    let foreign = cosigned(&roster, 3, &forged("3", lines[2], "ringfence/another"), at);
    put(3, &foreign).await.refused(422, &["ringfence/another"]);
    let future = cosigned(&roster, 3, &late, at.after(400));
    put(3, &future).await.refused(409, &["look at both clocks"]);
    play.client.get(&of(3)).await.refused(404, &["has cosigned no checkpoint"]);

    // What is shown is a note with the log's signature first, and a line of each site.
    aggregator.kill();
    aggregator.restart();
    let client = aggregator.client();
    let all: Vec<String> = client.get(&format!("{log}/cosignatures")).await.json();
    let cosigner = |site: usize| -> Box<dyn Verifier> {
        let (id, key) = (&roster.ids[site], roster.keys[site].verifying_key());
        let key = VerifyingKey::from_bytes(key.as_bytes()).unwrap();
        Box::new(Cosigner { name: format!("ringfence/{}/{id}", roster.id()), key })
    };
    let log_key = NoteKey::new(&origin(roster.id()), aggregator.key).unwrap().to_string();
    let signed_by = |note: &str| {
        let mut known = vec![Box::new(StandardVerifier::new(&log_key).unwrap()) as _];
        known.extend((0..5).map(cosigner));
        let note = Note::from_bytes(note.as_bytes()).unwrap();
        let (verified, others) = note.verify(&VerifierList::new(known)).unwrap();
        assert!(others.is_empty());
        verified.iter().map(|line| line.name().rsplit('/').next().unwrap().to_owned()).collect()
    };
    let signers: Vec<Vec<String>> = all.iter().map(|note| signed_by(note)).collect();
    let study = roster.id().to_string();
    let expected = [vec![study.as_str(), "site-2"], vec![study.as_str(), "site-0", "site-1"]];
    assert_eq!(signers, expected);
    assert_eq!(checkpoint(&client, "?size=3").await, all[1]);
    assert_eq!(checkpoint(&client, "").await, all[1]);
    let one: Vec<String> =
        signed_by(&String::from_utf8(client.get(&of(2)).await.ok().bytes).unwrap());
    assert_eq!(one, [study.as_str(), "site-2"]);
}

#[tokio::test]
async fn what_sites_have_cosigned_is_shown_with_the_checkpoint() {
    witnesses_are_shown(Aggregator::start()).await;
}

#[tokio::test]
async fn and_so_over_the_other_store() {
    if let Some(aggregator) = Aggregator::start_on_engines() {
        witnesses_are_shown(aggregator).await;
    }
}
