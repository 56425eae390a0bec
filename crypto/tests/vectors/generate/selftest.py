"""Checks the primitives against published values: `python3 selftest.py`.

Sources: BLAKE3's test_vectors.json; RFC 8032 7.1; RFC 7748 5.2 and 6.1; RFC 8439 2.3.2, 2.5.2 and
2.8.2; RFC 9180 A.2.1; the three test vectors of draft-connolly-cfrg-xwing-kem (its long strings as
SHA-256 here), which contain ML-KEM-768."""

import hashlib
import unittest

import blake3
import chacha
import ed25519
import gaussian
import hpke
import mlkem
import packing
import ring
import sharing
from x25519 import BASE, x25519

H = bytes.fromhex


class Blake3(unittest.TestCase):
    KEY = b"whats the Elvish word for friend"
    # Input length, hash, keyed hash; the input is 0, 1, ..., 250, 0, 1, ...
    CASES = [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213", "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"),
        (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11", "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7", "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444", "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69"),
        (2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030", "9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5"),
        (3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3", "68dede9bef00ba89e43f31a6825f4cf433389fedae75c04ee9f0cf16a427c95a"),
        (6145, "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f", "9ac301e9e39e45e3250a7e3b3df701aa0fb6889fbd80eeecf28dbc6300fbc539"),
    ]  # fmt: skip
    LONG = (
        "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444f4c4a22b4b399155358a994e52bf255d"
        "e60035742ec71bd08ac275a1b51cc6bfe332b0ef84b409108cda080e6269ed4b3e2c3f7d722aa4cdc98d16deb554e562"
        "7be8f955c98e1d5f9565a9194cad0c4285f93700062d9595adb992ae68ff12800ab67a"
    )

    def data(self, length):
        return bytes(i % 251 for i in range(length))

    def test_hash_and_keyed_hash(self):
        for length, plain, keyed in self.CASES:
            self.assertEqual(blake3.digest(self.data(length)).hex(), plain)
            self.assertEqual(blake3.digest(self.data(length), key=self.KEY).hex(), keyed)

    def test_extendable_output_in_pieces(self):
        xof = blake3.Xof(self.data(1025))
        pieces = xof.read(1) + xof.read(63) + xof.read(2) + xof.read(65)
        self.assertEqual(pieces.hex(), self.LONG)


class Ed25519(unittest.TestCase):
    CASES = [  # RFC 8032, 7.1: seed, public key, message, signature
        ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "", "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
        ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72", "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
        ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82", "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
    ]  # fmt: skip

    def test_signatures(self):
        for seed, public, message, signature in self.CASES:
            self.assertEqual(ed25519.public_key(H(seed)).hex(), public)
            self.assertEqual(ed25519.sign(H(seed), H(message)).hex(), signature)
            self.assertTrue(ed25519.verify(H(public), H(message), H(signature)))
            self.assertFalse(ed25519.verify(H(public), H(message) + b"x", H(signature)))


class X25519(unittest.TestCase):
    def test_rfc_7748(self):
        out = x25519(
            H("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
            H("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
        )
        self.assertEqual(
            out.hex(), "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
        )
        one = x25519(BASE, BASE)
        self.assertEqual(
            one.hex(), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
        )


class ChaCha20Poly1305(unittest.TestCase):
    SUNSCREEN = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )

    def test_block(self):
        block = chacha.block(bytes(range(32)), 1, H("000000090000004a00000000"))
        self.assertEqual(block[:16].hex(), "10f1e7e4d13b5915500fdd1fa32071c4")

    def test_poly1305(self):
        key = H("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
        tag = chacha.poly1305(key, b"Cryptographic Forum Research Group")
        self.assertEqual(tag.hex(), "a8061dc1305136c6c22b8baf0c0127a9")

    def test_aead(self):
        key, nonce = bytes(range(0x80, 0xA0)), H("070000004041424344454647")
        associated = H("50515253c0c1c2c3c4c5c6c7")
        sealed = chacha.seal(key, nonce, associated, self.SUNSCREEN)
        self.assertEqual(sealed[:16].hex(), "d31a8d34648e60db7b86afbc53ef7ec2")
        self.assertEqual(sealed[-16:].hex(), "1ae10b594f09e26a7e902ecbd0600691")
        self.assertEqual(chacha.open_sealed(key, nonce, associated, sealed), self.SUNSCREEN)
        self.assertIsNone(chacha.open_sealed(key, nonce, b"", sealed))


class Hpke(unittest.TestCase):
    XWING = [  # seed, encapsulation randomness, shared secret, SHA-256 of key and of ciphertext
        ("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26", "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e235b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2", "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384", "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb", "17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33"),
        ("badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea", "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdefaee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d", "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150", "c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916", "1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154"),
        ("ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9", "22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b", "953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f", "6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95", "d3ca5578500344b5896cffc4fd740c9311946b82951df155e6fd86a7966b43c6"),
    ]  # fmt: skip

    def test_xwing(self):
        for seed, randomness, shared, key, ciphertext in self.XWING:
            public = hpke.public_key(H(seed))
            secret, encapsulated = hpke.encapsulate(public, H(randomness))
            self.assertEqual(hashlib.sha256(public).hexdigest(), key)
            self.assertEqual(hashlib.sha256(encapsulated).hexdigest(), ciphertext)
            self.assertEqual(secret.hex(), shared)
            self.assertEqual(hpke.decapsulate(H(seed), encapsulated), secret)

    def test_implicit_rejection(self):
        ek, dk = mlkem.keygen(bytes(32), b"z" * 32)
        _, ciphertext = mlkem.encapsulate(ek, bytes(32))
        wrong = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
        expected = hashlib.shake_256(b"z" * 32 + wrong).digest(32)
        self.assertEqual(mlkem.decapsulate(dk, wrong), expected)

    def test_key_schedule_of_rfc_9180(self):
        shared = H("0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7")
        info = b"Ode on a Grecian Urn"
        key, nonce = hpke.key_schedule(shared, info, kem_id=0x0020)
        self.assertEqual(
            key.hex(), "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91"
        )
        self.assertEqual(nonce.hex(), "5c4d98150661b848853b547f")
        sealed = chacha.seal(key, nonce, b"Count-0", b"Beauty is truth, truth beauty")
        self.assertEqual(sealed[:16].hex(), "1c5250d8034ec2b784ba2cfd69dbdb8a")


class Arithmetic(unittest.TestCase):
    """What has no published values is checked against its definition."""

    def test_transform(self):
        self.assertEqual(pow(ring.PSI, ring.N, ring.Q), ring.Q - 1)
        a = ring.residues(blake3.Xof(b"a"), ring.N)
        values = ring.transform(a)
        for k in (0, 1, 2, 1000, ring.N - 1):
            x, total = ring.point(k), 0
            for coefficient in reversed(a):
                total = (total * x + coefficient) % ring.Q
            self.assertEqual(values[k], total)
        self.assertEqual(ring.inverse_transform(values), a)

    def test_product_wraps_with_a_sign(self):
        x, last = [0] * ring.N, [0] * ring.N
        x[1], last[ring.N - 1] = 3, 5
        product = ring.product(ring.transform(x), ring.transform(last))
        self.assertEqual(product, [ring.Q - 15] + [0] * (ring.N - 1))

    def test_words(self):
        for w in (8, 41, 64):
            words = [k * 0x9E3779B97F4A7C15 % (1 << w) for k in range(1024)]
            laid_out = ring.lay_out(words, w)
            self.assertEqual(len(laid_out), 1024 * w // 8)
            self.assertEqual(ring.read_words(laid_out, w), words)

    def test_table_is_a_distribution(self):
        self.assertTrue(all(a < b for a, b in zip(gaussian.TABLE, gaussian.TABLE[1:])))
        self.assertLess(gaussian.TABLE[-1], 1 << 128)
        below, variance = 0, 0
        for k, entry in enumerate(gaussian.TABLE):
            variance, below = variance + k * k * (entry - below), entry
        self.assertAlmostEqual(variance / 2**128, 6.4**2, places=9)

    def test_noise_bound_is_a_minimum(self):
        best = packing.noise_infimum(10, 44)
        h = packing.half_width(44)
        for exponent in range(-60, 5):
            t = packing.Decimal(2) ** exponent
            value = (10 * packing._cumulant(t, h)[0] + packing.LEVEL) / t
            self.assertGreaterEqual(value, best * (1 - packing.Decimal("1e-15")))

    def test_largest_primes(self):
        # Published: the largest primes below 2^32, 2^61 (Mersenne's) and 2^64.
        known = {32: 2**32 - 5, 61: 2**61 - 1, 64: 2**64 - 59}
        self.assertEqual({w: ring.modulus(w) for w in known}, known)

    def test_sharing(self):
        threshold = sharing.thresholds(5, 1, 2)
        secret = ring.residues(blake3.Xof(b"secret"), sharing.KEY_WORDS)
        masks = ring.residues(blake3.Xof(b"masks"), 4)
        shares = sharing.share(secret, masks, threshold, [bytes(32)])
        for subset in ([0, 1, 2], [4, 2, 0], [1, 3, 4]):
            points = [(k, shares[k]) for k in subset]
            self.assertEqual(sharing.reconstruct(points, threshold), secret)


if __name__ == "__main__":
    unittest.main()
