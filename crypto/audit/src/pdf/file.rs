//! The bytes of the PDF.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{ActionType, AnnotationType, TabOrder};
use pdf_writer::{Filter, Finish as _, Pdf, Rect, Ref, TextStr};

use super::SMALL;
use super::sheets::{PAGE, Sheets, Spot, font_name};
use super::tags::{Refs, Tags};

/// Hands out references, one after the other.
struct Fresh(i32);

impl Fresh {
    fn get(&mut self) -> Ref {
        self.0 += 1;
        Ref::new(self.0)
    }

    fn many(&mut self, count: usize) -> Vec<Ref> {
        (0..count).map(|_| self.get()).collect()
    }
}

pub(super) fn write(mut sheets: Sheets<'_>, title: &str, program: &str) -> Vec<u8> {
    sheets.feet(title, SMALL);
    let (mut pdf, mut fresh) = (Pdf::new(), Fresh(0));
    let [catalog, info, tree, root, parents] = [(); 5].map(|()| fresh.get());
    let fonts = [false, true].map(|bold| (bold, fresh.get()));
    let pages = fresh.many(sheets.sheets.len());
    let elements = fresh.many(sheets.tags.len());
    let links: Vec<(Ref, Ref)> = sheets
        .links
        .iter()
        .map(|link| (fresh.get(), pages.get(link.sheet).copied().unwrap_or(tree)))
        .collect();
    let outline = write_outline(&sheets, &pages, &mut fresh, &mut pdf);
    for (bold, id) in fonts {
        sheets.fonts.get(bold).write(id, || fresh.get(), &mut pdf);
    }
    write_catalog(&mut pdf, [catalog, tree, root, parents, outline], &elements);
    pdf.document_info(info).title(TextStr(title)).producer(TextStr(program));
    let refs = Refs { root, elements: &elements, pages: &pages, links: &links };
    write_parents(&sheets, &refs, parents, &mut fresh, &mut pdf);
    sheets.tags.write(&refs, &mut pdf);
    write_links(&sheets, &refs, &mut pdf);
    let count = i32::try_from(pages.len()).unwrap_or(i32::MAX);
    pdf.pages(tree).kids(pages.iter().copied()).count(count);
    for (number, (sheet, id)) in sheets.sheets.into_iter().zip(&pages).enumerate() {
        let content = fresh.get();
        let mut page = pdf.page(*id);
        page.parent(tree)
            .media_box(Rect::new(0.0, 0.0, PAGE[0], PAGE[1]))
            .contents(content)
            .struct_parents(i32::try_from(number).unwrap_or(i32::MAX))
            .tab_order(TabOrder::StructureOrder);
        let on = links.iter().filter(|(_, page)| page == id).map(|(link, _)| *link);
        page.annotations(on);
        let mut resources = page.resources();
        let mut of = resources.fonts();
        for (bold, font) in fonts {
            of.pair(font_name(bold), font);
        }
        of.finish();
        resources.finish();
        page.finish();
        let bytes = compress_to_vec_zlib(&sheet.content.finish(), 9);
        pdf.stream(content, &bytes).filter(Filter::FlateDecode);
    }
    pdf.finish()
}

fn write_catalog(
    pdf: &mut Pdf,
    [catalog, tree, root, parents, outline]: [Ref; 5],
    elements: &[Ref],
) {
    let mut out = pdf.catalog(catalog);
    out.pages(tree).lang(TextStr("en")).outlines(outline);
    out.viewer_preferences().display_doc_title(true);
    out.mark_info().marked(true);
    out.pair(pdf_writer::Name(b"StructTreeRoot"), root);
    out.finish();
    let mut structure = pdf.indirect(root).start::<pdf_writer::writers::StructTreeRoot<'_>>();
    structure.children().items(elements.first().copied());
    structure.pair(pdf_writer::Name(b"ParentTree"), parents);
    structure.finish();
}

/// Of each text and each link, which element it belongs to: pages first, then links.
fn write_parents(
    sheets: &Sheets<'_>,
    refs: &Refs<'_>,
    parents: Ref,
    fresh: &mut Fresh,
    pdf: &mut Pdf,
) {
    let arrays = fresh.many(sheets.sheets.len());
    for (sheet, id) in sheets.sheets.iter().zip(&arrays) {
        let of = sheet.texts.iter().filter_map(|tag| Tags::reference(*tag, refs.elements));
        pdf.indirect(*id).array().items(of);
    }
    let of_links = sheets.links.iter().filter_map(|link| Tags::reference(link.tag, refs.elements));
    let mut tree = pdf.number_tree::<Ref>(parents);
    let mut numbers = tree.nums();
    for (key, id) in (0..).zip(arrays.into_iter().chain(of_links)) {
        numbers.insert(key, id);
    }
}

fn write_links(sheets: &Sheets<'_>, refs: &Refs<'_>, pdf: &mut Pdf) {
    for (number, (link, (id, _))) in sheets.links.iter().zip(refs.links).enumerate() {
        let key = i32::try_from(sheets.sheets.len() + number).unwrap_or(i32::MAX);
        let mut out = pdf.annotation(*id);
        out.subtype(AnnotationType::Link)
            .rect(link.rect)
            .border(0.0, 0.0, 0.0, None)
            .contents(TextStr(&format!("To the check {}", link.words)))
            .struct_parent(key);
        let Some((page, spot)) =
            sheets.places.get(&link.to).and_then(|spot| Some((*refs.pages.get(spot.sheet)?, spot)))
        else {
            continue;
        };
        let mut action = out.action();
        action.action_type(ActionType::GoTo);
        action.destination().page(page).xyz(0.0, spot.y + 8.0, None);
    }
}

/// The headings, as a list beside the pages.
fn write_outline(sheets: &Sheets<'_>, pages: &[Ref], fresh: &mut Fresh, pdf: &mut Pdf) -> Ref {
    let outline = fresh.get();
    let items = fresh.many(sheets.bookmarks.len());
    let mut out = pdf.outline(outline);
    if let (Some(first), Some(last)) = (items.first(), items.last()) {
        out.first(*first).last(*last).count(i32::try_from(items.len()).unwrap_or(i32::MAX));
    }
    out.finish();
    for (number, (words, Spot { sheet, y })) in sheets.bookmarks.iter().enumerate() {
        let Some(id) = items.get(number) else { continue };
        let mut item = pdf.outline_item(*id);
        item.title(TextStr(words)).parent(outline);
        if let Some(before) = number.checked_sub(1).and_then(|before| items.get(before)) {
            item.prev(*before);
        }
        if let Some(next) = items.get(number + 1) {
            item.next(*next);
        }
        if let Some(page) = pages.get(*sheet) {
            item.dest().page(*page).xyz(0.0, y + 8.0, None);
        }
    }
    outline
}
