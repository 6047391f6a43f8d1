//! How long a file and a function may be, and how often a type's name.

use std::{collections::BTreeMap, fs, path::Path};

use syn::{
    spanned::Spanned,
    visit::{self, Visit},
    Block, ImplItemFn, Item, ItemFn, ItemImpl, Signature, TraitItemFn, Type,
};

use crate::house::{made_types, rust_files, House, SourceFile};
use crate::lists::{LONG, SPREAD};

/// Lines of a file.
const MAX_FILE: usize = 600;
/// Lines of a function, from `fn` to its last brace.
const MAX_FUNCTION: usize = 70;

#[test]
fn files_and_functions_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut breaches, mut known) = (Vec::new(), Vec::new());
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        for path in rust_files(&root.join(folder)) {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let name = path.strip_prefix(root).expect("below it");
            let name = name.to_str().expect("sources have plain names");
            for (what, line, lines) in too_long(name, &text) {
                match LONG.contains(&(name, &*what)) {
                    true => known.push((name.to_owned(), what)),
                    false => breaches.push(format!("{name}:{line}: {what} has {lines} lines")),
                }
            }
        }
    }
    assert!(breaches.is_empty(), "too long:\n{}", breaches.join("\n"));
    let is_known = |(file, what): &&(&str, &str)| known.contains(&((*file).into(), (*what).into()));
    let gone: Vec<_> = LONG.iter().filter(|long| !is_known(long)).collect();
    assert!(
        gone.is_empty(),
        "short by now, take them off the list: {gone:?}"
    );
}

/// What is too long in a file: "the file", or a function's name; its line, and its lines.
fn too_long(name: &str, text: &str) -> Vec<(String, usize, usize)> {
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut functions = Functions(Vec::new());
    functions.visit_file(&parsed);
    functions.0.retain(|(_, _, lines)| *lines > MAX_FUNCTION);
    let lines = text.lines().count();
    if lines > MAX_FILE {
        functions.0.push(("the file".into(), 1, lines));
    }
    functions.0
}

/// Name, line and lines of every function.
struct Functions(Vec<(String, usize, usize)>);

impl Functions {
    fn note(&mut self, signature: &Signature, block: &Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        self.0
            .push((signature.ident.to_string(), first, last + 1 - first));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.note(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Where each type is defined that a module has.
fn types(house: &House) -> BTreeMap<String, Vec<String>> {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in own_files(house) {
        for item in &file.items {
            let names = match item {
                Item::Enum(item) => vec![item.ident.to_string()],
                Item::Macro(_) => made_types(item),
                Item::Struct(item) => vec![item.ident.to_string()],
                Item::Trait(item) => vec![item.ident.to_string()],
                Item::Type(item) => vec![item.ident.to_string()],
                Item::Union(item) => vec![item.ident.to_string()],
                _ => continue,
            };
            for name in names {
                types.entry(name).or_default().push(file.path.clone());
            }
        }
    }
    types
}

#[test]
fn one_word_names_one_type() {
    let types = types(&House::read());
    let twice: Vec<_> = types
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .collect();
    assert!(
        twice.is_empty(),
        "these names are used more than once: {twice:#?}"
    );
}

#[test]
fn a_type_that_a_macro_makes_is_seen() {
    let text = "macro_rules! table { (struct $Name:ident) => {} } table! { a: struct Made {} }";
    let house = House::of([("lib.rs".to_owned(), text.to_owned())].into());
    assert_eq!(types(&house).into_keys().collect::<Vec<_>>(), ["Made"]);
}

#[test]
fn a_type_lives_in_one_file() {
    let house = House::read();
    let types = types(&house);
    let (mut breaches, mut known) = (Vec::new(), Vec::new());
    for file in own_files(&house) {
        for item in &file.items {
            let Some(name) = inherent(item) else { continue };
            if types
                .get(&name)
                .is_none_or(|places| places.contains(&file.path))
            {
                continue;
            }
            match SPREAD
                .iter()
                .find(|spread| **spread == (&*file.path, &*name))
            {
                Some(spread) => known.push(spread),
                None => {
                    let line = item.span().start().line;
                    breaches.push(format!("src/{}:{line}: impl {name}", file.path));
                }
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "these types have methods in other files than their own:\n{}",
        breaches.join("\n")
    );
    let gone: Vec<_> = SPREAD
        .iter()
        .filter(|spread| !known.contains(spread))
        .collect();
    assert!(
        gone.is_empty(),
        "take these off the list of spread types: {gone:?}"
    );
}

/// All files but those of the door, which is none of the house's rooms.
fn own_files(house: &House) -> impl Iterator<Item = &SourceFile> {
    let files = house.files.iter();
    files.filter(|file| !file.path.starts_with("door"))
}

/// The type that this item gives methods of its own.
fn inherent(item: &Item) -> Option<String> {
    match item {
        Item::Impl(ItemImpl {
            trait_: None,
            self_ty,
            ..
        }) => match &**self_ty {
            Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
            _ => None,
        },
        _ => None,
    }
}
