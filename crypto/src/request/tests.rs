use ed25519_dalek::SigningKey;
use sfv::{Dictionary, ListEntry, Parser};

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn site() -> SiteId {
    "site-1".parse().unwrap()
}

fn parts() -> RequestParts<'static> {
    RequestParts {
        method: "GET",
        path: "/v2/studies/ab",
        query: Some("wait=20"),
        content_digest: None,
    }
}

fn signed(parts: &RequestParts<'_>) -> RequestSignature {
    let headers = sign(parts, &site(), NOW, &key(1));
    RequestSignature::parse(&headers.input, &headers.signature).unwrap()
}

/// RFC 9421, B.2.6, under the key of B.1.4: the same base and the same signature.
#[test]
fn the_signature_base_is_that_of_the_rfc() {
    let input = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let fields: Dictionary = Parser::new(&format!("sig-b26={input}")).parse().unwrap();
    let Some(ListEntry::InnerList(list)) = fields.get("sig-b26").cloned() else { panic!() };
    let base = fields::of_list(list).base(|name| {
        Some(match name {
            "date" => "Tue, 20 Apr 2021 02:07:55 GMT".to_owned(),
            "@method" => "POST".to_owned(),
            "@path" => "/foo".to_owned(),
            "@authority" => "example.com".to_owned(),
            "content-type" => "application/json".to_owned(),
            "content-length" => "18".to_owned(),
            _ => return None,
        })
    });
    let base = base.unwrap();
    assert!(base.ends_with(&format!("\n\"@signature-params\": {input}")), "{base}");
    let bytes = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(text).unwrap()
    };
    let public = bytes("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
    let public = PublicKey::from_bytes(&public.try_into().unwrap()).unwrap();
    let signature = bytes(
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    );
    let signature = Signature::from_bytes(&signature.try_into().unwrap());
    assert!(public.verifies(base.as_bytes(), &signature));
}

#[test]
fn a_signed_request_is_that_site_s_and_no_other() {
    let public = PublicKey::from(key(1).verifying_key());
    let signature = signed(&parts());
    assert_eq!(signature.site(), &site());
    signature.verify(&parts(), &public, NOW).unwrap();
    let invalid = Err(RequestSignatureError::Invalid(site()));
    for altered in [
        RequestParts { method: "PUT", ..parts() },
        RequestParts { path: "/v2/studies/ac", ..parts() },
        RequestParts { query: Some("wait=21"), ..parts() },
        RequestParts { query: None, ..parts() },
    ] {
        assert_eq!(signature.verify(&altered, &public, NOW), invalid, "{altered:?}");
    }
    let other = PublicKey::from(key(2).verifying_key());
    assert_eq!(signature.verify(&parts(), &other, NOW), invalid);
}

#[test]
fn a_message_is_signed_by_its_digest() {
    let public = PublicKey::from(key(1).verifying_key());
    let digest = ContentDigest::of(b"{}").header();
    assert_eq!(digest, "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:");
    let with = RequestParts { method: "PUT", content_digest: Some(&digest), ..parts() };
    signed(&with).verify(&with, &public, NOW).unwrap();
    let other = ContentDigest::of(b"[]").header();
    let altered = RequestParts { content_digest: Some(&other), ..with };
    assert_eq!(
        signed(&with).verify(&altered, &public, NOW),
        Err(RequestSignatureError::Invalid(site()))
    );
    // A digest that was added or taken away on the way.
    let without = RequestParts { content_digest: None, ..with };
    for (of, seen) in [(with, without), (without, with)] {
        let error = signed(&of).verify(&seen, &public, NOW).unwrap_err();
        assert!(matches!(error, RequestSignatureError::Cover(_)), "{error}");
    }
    let parsed = ContentDigest::parse(&format!("sha-512=:AA==:, {digest}")).unwrap();
    parsed.check(b"{}").unwrap();
    assert_eq!(parsed.check(b"[]"), Err(ContentDigestError::Other));
    for bad in ["", "sha-256", "sha-256=:AA==:", "sha-256=\"x\"", "sha-512=:AA==:", "\u{1}"] {
        assert!(ContentDigest::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_request_is_good_for_as_long_as_clocks_may_differ() {
    let public = PublicKey::from(key(1).verifying_key());
    let verify = |now| signed(&parts()).verify(&parts(), &public, now);
    for now in [NOW, NOW.after(MAX_CLOCK_AHEAD), NOW.earlier(MAX_CLOCK_AHEAD)] {
        verify(now).unwrap();
    }
    for now in [NOW.after(MAX_CLOCK_AHEAD + 1), NOW.earlier(MAX_CLOCK_AHEAD + 1)] {
        let error = verify(now).unwrap_err();
        assert!(matches!(error, RequestSignatureError::Clock { .. }), "{error}");
        assert!(error.to_string().contains(&now.utc().to_string()), "{error}");
    }
}

#[test]
fn what_is_no_signature_of_ours_is_refused_in_words() {
    let good = sign(&parts(), &site(), NOW, &key(1));
    let input = |from: &str, to: &str| {
        assert!(good.input.contains(from), "{}", good.input);
        good.input.replace(from, to)
    };
    for (bad, word) in [
        (String::new(), "got none"),
        ("ringfence".into(), "got none"),
        ("ringfence=(\"@method\"".into(), "no structured fields"),
        (input("ringfence-v2", "other"), "got none"),
        (input("ed25519", "rsa-pss-sha512"), "alg"),
        (input("site-1", "Site 1"), "keyid"),
        (input("created=1800000000", "created=-5"), "created"),
        (input("created=1800000000", "created=\"x\""), "created"),
        (input("ringfence=", "other="), "64 bytes"),
        (
            format!("{}, two{}", good.input, good.input.strip_prefix("ringfence").unwrap()),
            "got two",
        ),
        ("x".repeat(2000), "1024 bytes"),
    ] {
        let error = RequestSignature::parse(&bad, &good.signature).unwrap_err().to_string();
        assert!(error.contains(word), "{bad}: {error}");
    }
    // Signed, and yet not enough, or more than is known here.
    let public = PublicKey::from(key(1).verifying_key());
    for (from, to, word) in [
        (" \"@query\"", "", "\"@query\" is not signed"),
        ("\"@query\"", "\"@query\" \"@authority\"", "no \"@authority\""),
        ("\"@query\"", "\"@query\" \"@query\"", "twice"),
        ("\"@query\"", "\"@query\";req", "parameters"),
    ] {
        let parsed = RequestSignature::parse(&input(from, to), &good.signature).unwrap();
        let error = parsed.verify(&parts(), &public, NOW).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// RFC 9421, section 2.3: what its signer gave an end is not taken after it.
#[test]
fn a_request_is_not_taken_after_its_own_end() {
    let signed_until = |expires: &str| {
        let input = format!(
            r#"("@method" "@path" "@query");created={};expires={expires};keyid="site-1";alg="ed25519";tag="ringfence-v2""#,
            NOW.0
        );
        let fields: Dictionary = Parser::new(&format!("ringfence={input}")).parse().unwrap();
        let Some(ListEntry::InnerList(list)) = fields.get("ringfence").cloned() else { panic!() };
        let base = fields::of_list(list).base(|name| parts().component(name)).unwrap();
        let signature = ed25519_dalek::Signer::sign(&key(1), base.as_bytes()).to_bytes();
        use base64::Engine;
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        RequestSignature::parse(&format!("ringfence={input}"), &format!("ringfence=:{signature}:"))
    };
    let public = key(1).verifying_key().into();
    let signed = signed_until(&NOW.after(5).0.to_string()).unwrap();
    assert_eq!(signed.verify(&parts(), &public, NOW.after(5)), Ok(()));
    let late = signed.verify(&parts(), &public, NOW.after(6)).unwrap_err();
    assert!(matches!(late, RequestSignatureError::Expired { .. }), "{late}");
    let error = signed_until("\"soon\"").unwrap_err().to_string();
    assert!(error.contains("expires is in seconds since 1970"), "{error}");
}
