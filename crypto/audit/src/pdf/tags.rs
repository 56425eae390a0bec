//! What each text is: a tree of headings, lists and tables, for whoever cannot see the page.

use pdf_writer::types::{StructRole, TableHeaderScope};
use pdf_writer::{Finish as _, Pdf, Ref};

/// An element of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(usize);

/// What an element holds, in reading order.
#[derive(Clone, Copy, Debug)]
enum Kid {
    Element(Tag),
    /// A text: page and number on it.
    Text(usize, i32),
    /// A link: its number in the document.
    Link(usize),
}

#[derive(Debug)]
struct Element {
    role: StructRole,
    parent: Option<Tag>,
    heads_row: bool,
    kids: Vec<Kid>,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tags {
    elements: Vec<Element>,
}

/// The objects that a tree refers to and is referred to by.
pub(super) struct Refs<'a> {
    /// Of the tree.
    pub(super) root: Ref,
    /// Of each element.
    pub(super) elements: &'a [Ref],
    /// Of each page.
    pub(super) pages: &'a [Ref],
    /// Of each link, and of its page.
    pub(super) links: &'a [(Ref, Ref)],
}

impl Tags {
    pub(super) fn new() -> Self {
        let document =
            Element { role: StructRole::Document, parent: None, heads_row: false, kids: vec![] };
        Self { elements: vec![document] }
    }

    pub(super) fn root(&self) -> Tag {
        Tag(0)
    }

    pub(super) fn len(&self) -> usize {
        self.elements.len()
    }

    /// A new element, the last of its parent's.
    pub(super) fn child(&mut self, parent: Tag, role: StructRole) -> Tag {
        let tag = Tag(self.elements.len());
        self.elements.push(Element { role, parent: Some(parent), heads_row: false, kids: vec![] });
        self.add(parent, Kid::Element(tag));
        tag
    }

    /// The cell that says what a table's row is about.
    pub(super) fn row_header(&mut self, row: Tag) -> Tag {
        let tag = self.child(row, StructRole::TH);
        if let Some(element) = self.elements.get_mut(tag.0) {
            element.heads_row = true;
        }
        tag
    }

    /// A text of an element.
    pub(super) fn text(&mut self, of: Tag, page: usize, number: i32) {
        self.add(of, Kid::Text(page, number));
    }

    /// A link of an element.
    pub(super) fn link(&mut self, of: Tag, number: usize) {
        self.add(of, Kid::Link(number));
    }

    /// The name of an element's role, as texts carry it.
    pub(super) fn role(&self, of: Tag) -> StructRole {
        self.elements.get(of.0).map_or(StructRole::Span, |element| element.role)
    }

    fn add(&mut self, to: Tag, kid: Kid) {
        if let Some(element) = self.elements.get_mut(to.0) {
            element.kids.push(kid);
        }
    }

    /// The object of an element.
    pub(super) fn reference(of: Tag, refs: &[Ref]) -> Option<Ref> {
        refs.get(of.0).copied()
    }

    /// Writes all elements.
    pub(super) fn write(&self, refs: &Refs<'_>, pdf: &mut Pdf) {
        for (element, id) in self.elements.iter().zip(refs.elements) {
            let mut out = pdf.struct_element(*id);
            out.kind(element.role);
            let parent = element.parent.and_then(|parent| Self::reference(parent, refs.elements));
            out.parent(parent.unwrap_or(refs.root));
            if element.heads_row {
                out.attributes().push().table().scope(TableHeaderScope::Row);
            }
            let mut kids = out.children();
            for kid in &element.kids {
                match *kid {
                    Kid::Element(tag) => {
                        if let Some(id) = Self::reference(tag, refs.elements) {
                            kids.struct_element(id);
                        }
                    }
                    Kid::Text(page, number) => {
                        if let Some(page) = refs.pages.get(page) {
                            kids.marked_content_ref().page(*page).marked_content_id(number);
                        }
                    }
                    Kid::Link(number) => {
                        if let Some((link, page)) = refs.links.get(number) {
                            kids.object_ref().page(*page).object(*link);
                        }
                    }
                }
            }
            kids.finish();
        }
    }
}
