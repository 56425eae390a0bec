//! Pictures that say by XMP how they are turned, alone or beside EXIF.

use std::io::Write as _;

use image::ImageFormat;
use ringfence_imaging::{ReadOptions, decode};

use crate::make;
use crate::orientation::{HEIGHT, WIDTH, exif, picture, read, segment};

/// A packet with this attribute or element.
fn packet(attributes: &str, elements: &str) -> Vec<u8> {
    format!(
        "<?xpacket begin='\u{feff}' id='W5M0MpCehiHzreSzNTczkc9d'?>
        <x:xmpmeta xmlns:x='adobe:ns:meta/'>
        <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
        <rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' {attributes}>{elements}
        </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    )
    .into_bytes()
}

fn attribute(orientation: &str) -> Vec<u8> {
    packet(&format!("tiff:Orientation='{orientation}' tiff:Make='a'"), "")
}

fn element(orientation: &str) -> Vec<u8> {
    packet("", &format!("<tiff:Orientation>{orientation}</tiff:Orientation>"))
}

fn jpeg(packet: &[u8], others: &[u8]) -> Vec<u8> {
    let jpeg = picture(ImageFormat::Jpeg);
    let data = [b"http://ns.adobe.com/xap/1.0/\0", packet].concat();
    let length = (data.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], others, &[0xff, 0xe1], &length, &data, &jpeg[2..]].concat()
}

fn png(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let png = picture(ImageFormat::Png);
    [&png[..33], &make::chunk(kind, data), &png[33..]].concat()
}

fn deflated(packet: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(packet).unwrap();
    zlib.finish().unwrap()
}

/// The chunks in which programs write a packet.
fn pngs(packet: &[u8]) -> Vec<Vec<u8>> {
    let head = b"XML:com.adobe.xmp\0";
    let digits: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
    let profile = format!("Raw profile type xmp\0\nxmp\n{:8}\n{digits}\n", packet.len());
    vec![
        png(b"iTXt", &[&head[..], &[0, 0, 0, 0], packet].concat()),
        png(b"iTXt", &[&head[..], &[1, 0, 0, 0], &deflated(packet)].concat()),
        png(b"tEXt", profile.as_bytes()),
    ]
}

/// A TIFF whose packet stands at its end.
fn tiff(packet: &[u8]) -> Vec<u8> {
    let tags = [(256, WIDTH as u16), (257, HEIGHT as u16), (258, 8), (259, 1), (262, 1)];
    let pixels = vec![7; WIDTH * HEIGHT];
    let of = |place: u32| {
        let entry = (700, 1, packet.len() as u32, place.to_le_bytes());
        make::tiff(&tags, entry, HEIGHT as u16, &pixels)
    };
    let place = of(0).len() as u32;
    [of(place), packet.to_vec()].concat()
}

fn gif(packet: &[u8]) -> Vec<u8> {
    let image = image::RgbaImage::from_pixel(WIDTH as u32, HEIGHT as u32, image::Rgba([9; 4]));
    let gif = make::picture(&image.into(), ImageFormat::Gif);
    // Its trailer makes blocks of it for those who look for some.
    let trailer: Vec<u8> = [1].into_iter().chain((0..=255).rev()).chain([0]).collect();
    let block = [&[0x21, 0xff, 11][..], b"XMP DataXMP", packet, &trailer].concat();
    let at = gif.len() - 1;
    [&gif[..at], &block, &gif[at..]].concat()
}

fn files(packet: &[u8]) -> Vec<Vec<u8>> {
    let mut files = vec![jpeg(packet, &[]), tiff(packet)];
    files.extend(pngs(packet));
    // Zeros would end its block.
    files.extend((!packet.contains(&0)).then(|| gif(packet)));
    files
}

#[test]
fn an_orientation_in_xmp_is_applied() {
    let wide: Vec<u8> = attribute("6").iter().flat_map(|byte| [*byte, 0]).collect();
    let renamed = String::from_utf8(element("6")).unwrap().replace("tiff:", "t:");
    let renamed = renamed.replace("xmlns:tiff", "xmlns:t").into_bytes();
    for packet in [attribute("6"), element("6"), element(" 6\n"), wide, renamed] {
        for (at, bytes) in files(&packet).iter().enumerate() {
            let stack = decode(bytes, &ReadOptions::default()).unwrap();
            let said = String::from_utf8_lossy(&packet);
            assert_eq!((stack.width, stack.height), (HEIGHT, WIDTH), "{at}: {said}");
        }
    }
    // What says nothing, or what EXIF says.
    for packet in [attribute("1"), attribute("0"), packet("tiff:Make='Orientation'", "")] {
        for bytes in files(&packet) {
            let stack = decode(&bytes, &ReadOptions::default()).unwrap();
            assert_eq!((stack.width, stack.height), (WIDTH, HEIGHT));
        }
    }
    read(&jpeg(&attribute("6"), &segment(&exif(6)))).unwrap();
}

#[test]
fn an_orientation_in_xmp_that_cannot_be_used_is_refused_by_name() {
    let refused = |bytes: &[u8], expected: &str| {
        let error = read(bytes).unwrap_err();
        assert!(error.contains("XMP tiff:Orientation") && error.contains(expected), "{error}");
    };
    for (said, expected) in [
        ("9", "expected 1 to 8, found 9"),
        ("Rotate 90 CW", "expected 1 to 8, found `Rotate 90 CW`"),
        ("", "expected 1 to 8, found ``"),
    ] {
        for bytes in [attribute(said), element(said)].iter().flat_map(|packet| files(packet)) {
            refused(&bytes, expected);
        }
    }
    let differ = "expected one orientation, found 8 by EXIF Orientation (274) and 6 by XMP";
    refused(&jpeg(&attribute("6"), &segment(&exif(8))), differ);
    let twice = packet("tiff:Orientation='6'", "<tiff:Orientation>1</tiff:Orientation>");
    refused(&tiff(&twice), "expected one value, found 6 and 1 in one packet");
    let mut beyond = tiff(&attribute("6"));
    beyond.truncate(beyond.len() - 5);
    refused(&beyond, "bytes within the file, found fewer");
    let head = [b"XML:com.adobe.xmp\0", &[1_u8, 0, 0, 0][..], b"not deflated"].concat();
    refused(&png(b"iTXt", &head), "expected a deflated packet, found none");
}
