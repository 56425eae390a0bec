//! A secret identity file under a passphrase.
//!
//! ```text
//! ringfence identity under a passphrase, version 1
//! the site's name
//! argon2id MEMORY PASSES LANES SALT      memory in KiB, a salt of 16 bytes in hexadecimal
//! the sealed identity file, in hexadecimal
//! ```
//!
//! Argon2id (RFC 9106) makes a key of passphrase and salt, and ChaCha20-Poly1305 seals the plain file
//! under it; the lines before are the associated data. A salt is drawn for every file, so that no key
//! seals twice, and the nonce is zero.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{Identity, IdentityError};

const FIRST_LINE: &str = "ringfence identity under a passphrase, version 1";

/// Fewest characters of a passphrase that a new file is locked with.
pub const MIN_PASSPHRASE: usize = 12;

/// RFC 9106, section 4, the second recommended choice: 64 MiB, three passes, four lanes.
const COST: (u32, u32, u32) = (64 << 10, 3, 4);

/// The most that a file may ask for: it may be anybody's.
const MOST: (u32, u32, u32) = (1 << 20, 16, 16);

/// An identity file that cannot be locked or opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LockError {
    /// Too short to be guarded by.
    #[error("expected a passphrase of at least {MIN_PASSPHRASE} characters, got {0}")]
    Short(usize),
    /// Another passphrase, or an altered file.
    #[error(
        "the passphrase does not open the identity of {0}: it is another one, or the file was altered"
    )]
    Wrong(String),
    /// Not the form of such a file.
    #[error(
        "expected an identity file as `ringfence keygen --passphrase` writes it: {0}; it is damaged or altered, or a newer version wrote it: take the file from a backup"
    )]
    Malformed(&'static str),
    /// What it holds is no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Whether a file is an identity under a passphrase, or was one: a line that says how keys are made of
/// passphrases stands in no other.
pub fn is_locked(text: &str) -> bool {
    let says = |line: &str| line == FIRST_LINE || line.starts_with("argon2id ");
    text.lines().any(says)
}

/// An identity file under a passphrase, in its parts.
struct Locked<'a> {
    site: &'a str,
    cost: (u32, u32, u32),
    salt: [u8; 16],
    sealed: Vec<u8>,
    /// The lines before what is sealed.
    head: String,
}

/// Refuses a file of another form; its passphrase is not needed for that.
///
/// # Errors
/// [`LockError::Malformed`]; what stands in the file is never shown.
pub fn check_locked(text: &str) -> Result<(), LockError> {
    parts(text).map(drop)
}

fn parts(text: &str) -> Result<Locked<'_>, LockError> {
    let malformed = LockError::Malformed;
    let lines: Vec<&str> = text.lines().collect();
    let [first, site, how, sealed] = lines.as_slice() else {
        return Err(malformed("it has another number of lines than four"));
    };
    if *first != FIRST_LINE {
        return Err(malformed(
            "its first line is not `ringfence identity under a passphrase, version 1`",
        ));
    }
    let words: Vec<&str> = how.split(' ').collect();
    let ["argon2id", memory, passes, lanes, digits] = words.as_slice() else {
        return Err(malformed("line 3 is not `argon2id MEMORY PASSES LANES SALT`"));
    };
    let number = |word: &str, most: u32| {
        let number = word.parse().ok().filter(|number| *number <= most);
        number.ok_or(malformed("line 3 asks for more than 1 GiB, 16 passes or 16 lanes"))
    };
    let cost = (number(memory, MOST.0)?, number(passes, MOST.1)?, number(lanes, MOST.2)?);
    let mut salt = [0; 16];
    hex::decode_to_slice(digits, &mut salt)
        .map_err(|_| malformed("the salt in line 3 is not 32 hexadecimal digits"))?;
    let sealed = hex::decode(sealed).map_err(|_| malformed("line 4 is not hexadecimal"))?;
    let head = format!("{first}\n{site}\n{how}\n");
    Ok(Locked { site, cost, salt, sealed, head })
}

impl Identity {
    /// The secret identity file under a passphrase.
    ///
    /// # Errors
    /// [`LockError::Short`].
    pub fn to_locked_file(
        &self,
        passphrase: &str,
        rng: &mut impl CryptoRng,
    ) -> Result<String, LockError> {
        let length = passphrase.chars().count();
        if length < MIN_PASSPHRASE {
            return Err(LockError::Short(length));
        }
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let (memory, passes, lanes) = COST;
        let site = &self.site;
        let head = format!(
            "{FIRST_LINE}\n{site}\nargon2id {memory} {passes} {lanes} {}\n",
            hex::encode(salt)
        );
        let cipher = cipher(passphrase, &salt, COST)?;
        let file = self.to_file();
        let payload = Payload { msg: file.as_bytes(), aad: head.as_bytes() };
        let sealed = cipher.encrypt(&Nonce::default(), payload);
        let sealed = sealed.map_err(|_| LockError::Malformed("it cannot be sealed"))?;
        Ok(format!("{head}{}\n", hex::encode(sealed)))
    }

    /// Opens a secret identity file under a passphrase.
    ///
    /// # Errors
    /// [`LockError`]; what stands in the file is never shown.
    pub fn from_locked_file(text: &str, passphrase: &str) -> Result<Self, LockError> {
        let Locked { site, cost, salt, sealed, head } = parts(text)?;
        let payload = Payload { msg: &sealed, aad: head.as_bytes() };
        let opened = cipher(passphrase, &salt, cost)?.decrypt(&Nonce::default(), payload);
        let wrong = || LockError::Wrong(site.chars().take(80).collect());
        let opened = Zeroizing::new(opened.map_err(|_| wrong())?);
        let file = std::str::from_utf8(&opened).map_err(|_| wrong())?;
        Ok(Self::from_file(file)?)
    }
}

fn cipher(
    passphrase: &str,
    salt: &[u8],
    (memory, passes, lanes): (u32, u32, u32),
) -> Result<ChaCha20Poly1305, LockError> {
    let refused = |_| LockError::Malformed("line 3 asks for what Argon2id does not do");
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(refused)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    argon2.hash_password_into(passphrase.as_bytes(), salt, &mut *key).map_err(refused)?;
    Ok(ChaCha20Poly1305::new(&Key::from(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "correct horse battery";

    fn locked() -> (Identity, String) {
        let mut rng = crate::system_rng().unwrap();
        let identity = Identity::generate("site-1".parse().unwrap(), &mut rng).unwrap();
        let text = identity.to_locked_file(PASSPHRASE, &mut rng).unwrap();
        (identity, text)
    }

    #[test]
    fn a_locked_identity_opens_with_its_passphrase_and_with_no_other() {
        let (identity, text) = locked();
        assert!(is_locked(&text) && !is_locked(&identity.to_file()));
        let opened = Identity::from_locked_file(&text, PASSPHRASE).unwrap();
        assert_eq!(opened.to_file(), identity.to_file());
        for line in identity.to_file().lines().skip(1) {
            assert!(!text.contains(line));
        }
        for wrong in ["correct horse batterY", "", "correct horse battery "] {
            let error = Identity::from_locked_file(&text, wrong).unwrap_err().to_string();
            assert!(error.contains("does not open the identity of site-1"), "{error}");
        }
        let mut rng = crate::system_rng().unwrap();
        let short = identity.to_locked_file("eleven char", &mut rng).unwrap_err().to_string();
        assert!(short.contains("at least 12 characters, got 11"), "{short}");
        assert_ne!(identity.to_locked_file(PASSPHRASE, &mut rng).unwrap(), text, "a fresh salt");
    }

    #[test]
    fn an_altered_file_does_not_open_and_none_asks_for_all_memory() {
        let (_, text) = locked();
        for (from, to, said) in [
            ("site-1", "site-2", "does not open the identity of site-2"),
            ("65536 3 4", "65536 2 4", "does not open"),
            ("65536 3 4", "1048577 3 4", "asks for more than 1 GiB"),
            ("65536 3 4", "65536 17 4", "asks for more"),
            ("65536 3 4", "0 3 4", "does not do"),
            ("argon2id", "scrypt", "line 3 is not"),
            ("version 1", "version 2", "its first line"),
            ("4 ", "4 x", "the salt in line 3"),
        ] {
            let altered = text.replacen(from, to, 1);
            assert_ne!(altered, text);
            let error = Identity::from_locked_file(&altered, PASSPHRASE).unwrap_err().to_string();
            assert!(error.contains(said), "{said:?} in {error}");
        }
    }

    #[test]
    fn a_locked_file_with_another_first_line_is_known_as_one_that_is_damaged() {
        let (_, text) = locked();
        let without = text.split_once('\n').unwrap().1;
        for (first, said) in [
            ("ringfence identity under a passphrase, version 2\n", "its first line is not"),
            ("Ringfence identity under a passphrase, version 1\n", "its first line is not"),
            ("\n", "its first line is not"),
            ("", "another number of lines than four"),
        ] {
            let altered = format!("{first}{without}");
            assert!(is_locked(&altered), "{first:?}");
            let error = check_locked(&altered).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("damaged or altered"), "{error}");
        }
        assert!(check_locked(&text).is_ok());
    }
}
