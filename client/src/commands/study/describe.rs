//! A study in words: everything that a site signs, and what follows from it.

use ringfence_crypto::Digest;
use ringfence_crypto::layout::Layout;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::signature::{PublicKey, Statement};
use ringfence_crypto::statement::{
    CheckKeySeals, HexBytes, PrivacyPolicy, Reach, RosterEntry, Setting, SignedStudy, Study,
    Training, Weighting,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_site::transport::escaped;
use ringfence_words::{counted, listed};

use super::promise::Promise;

/// Before each line that goes on with the one above.
const INDENT: &str = "            ";

/// The settings of a training plan that a summary names.
const DECIDING: [&str; 5] = ["task", "model", "side", "rounds", "training.epochs"];

/// Tensors that are listed where not all are.
const FIRST_TENSORS: usize = 3;

/// Which tensors of the model are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tensors {
    /// The first few.
    First,
    /// Every one.
    All,
}

/// A study with the value of every field that is signed; of long keys, their BLAKE3 digests. Of the
/// tensors the first stand for all, where no more is asked for. Texts of its author are escaped. A
/// study that is not sound is shown, too, and why it is not.
pub(super) fn describe(signed: &SignedStudy, which: Tensors) -> String {
    // Without `..`: a field that is added does not compile until it is shown.
    let Study {
        name,
        created_at,
        roster,
        aggregator_key,
        parameters,
        threshold,
        min_sites,
        packing,
        layout,
        initial_model,
        weighting,
        privacy: _,
        training,
        min_round_seconds,
        longest_round_seconds,
        review_seconds,
        initiator_timeout_seconds,
        check_key,
    } = &signed.study;
    let Threshold { holders, collusion, packing: words, opening, endorsements } = threshold;
    let sound = signed.study.check();
    let mut text = format!(
        "study       {} ({})\n\
         made        {} ({} s since 1970), protocol version {}, parameters {}\n",
        escaped(name),
        signed.study.id(),
        created_at.utc(),
        created_at.0,
        ringfence_crypto::protocol::VERSION,
        parameters.name(),
    );
    text += &match &sound {
        Ok(()) => "sound       yes\n".to_owned(),
        Err(error) => {
            format!("sound       NO, nobody should sign it: {}\n", escaped(&error.to_string()))
        }
    };
    text += &signatures(signed);
    text += &format!(
        "aggregator  signs with the key {aggregator_key}\n\
         ring        {}\n\
         thresholds  m = {holders}, c = {collusion}, l = {words}, Q = {endorsements}, t = {opening}: {}\n\
         fewest      {}\n\
         times       a round {min_round_seconds} to {longest_round_seconds} s, reviews {review_seconds} s, a successor's turn after {initiator_timeout_seconds} s\n",
        roster.iter().map(|site| site.id.as_str()).collect::<Vec<_>>().join(" -> "),
        silent(threshold),
        counted((*min_sites).into(), "contribution"),
    );
    text += &names(threshold);
    text += &format!("model       begins as {initial_model}\n");
    text += &tensors(layout, which);
    text += &encoding(packing, sound.is_ok().then_some(&signed.study));
    text += &weights(weighting);
    if sound.is_ok() {
        text += &reach_lines(signed.study.reach(), threshold.names());
    }
    text += &promised(&signed.study);
    text + &keys(roster, check_key) + &plan(training)
}

/// What of a study decides whether a site takes part, in a few lines: who, how many, how precise, how
/// private, trained how. Its author reads it, [`describe`] has the rest.
pub(super) fn summary(signed: &SignedStudy) -> String {
    let Study { name, roster, aggregator_key, threshold, min_sites, packing, .. } = &signed.study;
    let Study { layout, initial_model, weighting, training, .. } = &signed.study;
    let sound = signed.study.check();
    let Threshold { holders, collusion, packing: words, opening, endorsements } = threshold;
    let mut text = format!(
        "study       {} ({})\n\
         sites       {}: {}\n\
         aggregator  signs with the key {aggregator_key}\n\
         thresholds  m = {holders}, c = {collusion}, l = {words}, Q = {endorsements}, t = {opening}: {}\n\
         fewest      {}\n\
         model       begins as {initial_model}: {}, {} values\n",
        escaped(name),
        signed.study.id(),
        roster.len(),
        listed(roster.iter().map(|site| &site.id)),
        silent(threshold),
        counted((*min_sites).into(), "contribution"),
        counted(layout.tensors.len() as u64, "tensor"),
        layout.values(),
    );
    text += &names(threshold);
    text += &encoding(packing, sound.is_ok().then_some(&signed.study));
    text += &weights(weighting);
    if sound.is_ok() {
        text += &reach_lines(signed.study.reach(), threshold.names());
    }
    text += &promised(&signed.study);
    text += &match training.digest() {
        Some(digest) => {
            let settings = counted(training.settings().len() as u64, "setting");
            let first = training.settings().iter().filter(|of| DECIDING.contains(&&*of.name));
            let first = first.map(|of| format!("{} = {}", escaped(&of.name), escaped(&of.value)));
            let first = listed(first);
            format!("training    plan {digest}, {settings}:\n{INDENT}{first}\n")
        }
        None => plan(training),
    };
    text + "`ringfence study show` has all that a site signs: every key, time limit and setting, with --tensors every tensor\n"
}

/// Who has signed, and who has not.
fn signatures(signed: &SignedStudy) -> String {
    let roster = &signed.study.roster;
    let has = |site: &RosterEntry| signed.signatures.iter().any(|by| by.site == site.id);
    let named = |signed: bool| {
        let sites = roster.iter().filter(|site| has(site) == signed);
        sites.map(|site| site.id.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut line = format!("signatures  {} of {}", signed.signatures.len(), roster.len());
    for (who, sites) in [("by", named(true)), ("not yet by", named(false))] {
        if !sites.is_empty() {
            line += &format!("; {who} {sites}");
        }
    }
    line + " (`ringfence study verify` checks them)\n"
}

fn silent(threshold: &Threshold) -> String {
    match threshold.silent_tolerated() {
        0 => "no silent holder tolerated".to_owned(),
        1 => "1 silent holder tolerated".to_owned(),
        n => format!("{n} silent holders tolerated"),
    }
}

/// Whether a round that a contributor spoils names it.
fn names(threshold: &Threshold) -> String {
    let Threshold { holders, collusion, packing, .. } = *threshold;
    match threshold.names() {
        true => format!(
            "culprits    a contributor that breaks the format is named, taken out and barred, up to c = {collusion} of them\n"
        ),
        false => format!(
            "culprits    NOBODY CAN BE NAMED: that needs m >= 3c + l key holders, and m = {holders}, c = {collusion}, l = {packing}; a contributor that breaks the format makes its round fail, and nobody learns who it was\n"
        ),
    }
}

/// The tensors with their clip bounds: all of them, or the first and how far the others' bounds go.
fn tensors(layout: &Layout, which: Tensors) -> String {
    let Layout { tensors } = layout;
    let count = counted(tensors.len() as u64, "tensor");
    let shown = match which {
        Tensors::First if tensors.len() > FIRST_TENSORS + 1 => FIRST_TENSORS,
        _ => tensors.len(),
    };
    let mut text = format!("{INDENT}{count}, {} values:\n", layout.values());
    for tensor in tensors.iter().take(shown) {
        let (name, shape, clip) = (escaped(&tensor.name), &tensor.shape, tensor.clip);
        text += &format!("{INDENT}  {name} {shape:?}, updates clipped to [-{clip}, {clip}]\n");
    }
    if shown < tensors.len() {
        let more = tensors.len() - shown;
        let clips = || tensors.iter().skip(shown).map(|tensor| tensor.clip);
        let (least, most) = (clips().fold(f32::MAX, f32::min), clips().fold(0.0, f32::max));
        let clipped = match least.to_bits() == most.to_bits() {
            true => format!("clipped to [-{most}, {most}]"),
            false => format!("clipped to between [-{least}, {least}] and [-{most}, {most}]"),
        };
        text += &format!("{INDENT}  and {more} more, updates {clipped} (--tensors lists all)\n");
    }
    text
}

/// How values are encoded; how long a body is where the study is sound.
fn encoding(packing: &Packing, sound: Option<&Study>) -> String {
    let Packing { value_bits, noise_bound, slot_bits, slots, delta_bits, wire_bits } = packing;
    let mut line = format!(
        "encoding    {value_bits} bits a value, a site's noise of up to {noise_bound} steps on it, {slots} slots of {slot_bits} bits, Delta = 2^{delta_bits}, wire words of {wire_bits} bits"
    );
    if let Some(study) = sound
        && let Ok(bytes) = study.body_bytes()
    {
        let per_value = bytes as f64 / study.layout.values().max(1) as f64;
        line += &format!("; body {bytes} bytes ({per_value:.2} a value)");
    }
    line + "\n"
}

/// How contributions count.
fn weights(weighting: &Weighting) -> String {
    let counts = match weighting {
        Weighting::Equal => "all sites count alike".to_owned(),
        Weighting::SampleCounts(counts) => {
            let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
            format!("by sample counts {}, in the ring's order", counts.join(", "))
        }
    };
    format!("weighting   {counts}\n")
}

/// How far one site can move the mean, with all sites and in the worst set that may be opened.
fn reach_lines(reach: Reach, names: bool) -> String {
    let beyond = match names {
        true => "is named if it goes beyond",
        false => "makes the round fail if it goes beyond",
    };
    format!(
        "one site    moves the mean of all sites by {:.3} C at most, in the worst set that may be\n\
         {INDENT}opened by {:.3} C (C: the clip bound); a malicious one that guesses the sum of\n\
         {INDENT}the others moves it to anywhere from -C to C, and {beyond}\n",
        reach.of_all, reach.at_worst
    )
}

/// What the study promises of the opened sums.
fn promised(study: &Study) -> String {
    let exact = "no noise is added, and the opened sums are exact";
    match Promise::of(study) {
        Some(promise) => promise.lines(INDENT),
        None if study.privacy == PrivacyPolicy::None => format!(
            "privacy     none beyond encryption: {exact};\n\
             {INDENT}where sites miss rounds, sums of several rounds may tell of single ones\n\
             {INDENT}(`ringfence study cost`, docs/cohorts.md)\n"
        ),
        None => format!("{}{INDENT}{exact}\n", groups(study)),
    }
}

/// The groups of a study that holds its sets apart.
fn groups(study: &Study) -> String {
    let groups = study.groups();
    let mut text = format!(
        "privacy     sets are held apart: a sum is over all or none of each group, so that sums of\n\
         {INDENT}several rounds tell of c + 2 = {} sites together at least\n",
        study.threshold.min_sites_floor()
    );
    for group in &groups {
        text += &format!("{INDENT}  group     {}\n", listed(group.iter().map(|site| &site.id)));
    }
    text += &format!(
        "{INDENT}a site that misses a round takes its group with it; {} may, and there is a sum\n",
        counted(study.silent_contributors() as u64, "site")
    );
    text
}

/// The sites' keys: what is compared with what each site's `ringfence keygen` has printed.
fn keys(roster: &[RosterEntry], check_key: &CheckKeySeals) -> String {
    let CheckKeySeals { commitment, sealed } = check_key;
    let mut text =
        format!("check key   commitment {commitment}, sealed to {} sites\n", sealed.len());
    text += "roster      compare each site's two lines with what its `ringfence keygen` printed\n";
    for (place, site) in roster.iter().enumerate() {
        let RosterEntry { id, signature_key, kem_key: HexBytes(kem_key) } = site;
        text += &format!("{INDENT}{id}\n{}", fingerprints(signature_key, kem_key));
        if let Some(HexBytes(sealed)) = sealed.get(place) {
            text += &format!("{INDENT}  sealed check key {}\n", Digest::of(sealed));
        }
    }
    text
}

/// A site's public keys: the signature key whole, of the KEM key its BLAKE3 digest.
pub(crate) fn fingerprints(signature_key: &PublicKey, kem_key: &[u8]) -> String {
    format!(
        "{INDENT}  signature key    {signature_key}\n{INDENT}  KEM key's digest {}\n",
        Digest::of(kem_key)
    )
}

/// What the study pins of training.
fn plan(training: &Training) -> String {
    let Some(digest) = training.digest() else {
        return "training    none pinned: the sites train with another framework, and nothing but their word says that they train alike\n".to_owned();
    };
    let setting = |Setting { name, value }: &Setting| {
        format!("{INDENT}{} = {}\n", escaped(name), escaped(value))
    };
    let settings: String = training.settings().iter().map(setting).collect();
    format!("training    plan {digest}\n{settings}")
}
