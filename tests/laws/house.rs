//! The project's own sources, read once: every file of `src` that is built into the program, as
//! a syntax tree and as a row of words, and the modules that these files make.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{visit::Visit, Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// A file of `src`, without what only tests build.
pub struct SourceFile {
    /// From `src` on, as `node/mod.rs`.
    pub path: String,
    pub items: Vec<Item>,
    /// Names, punctuation and brackets; comments and texts are not among them.
    pub words: Vec<Word>,
}

/// A name, `::`, or one character of punctuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub text: String,
    pub line: usize,
}

/// What a module defines and what it takes from elsewhere.
#[derive(Default)]
pub struct Module {
    /// Index into [`House::files`].
    pub file: usize,
    pub defined: BTreeSet<String>,
    /// Name here → path as it is written, without globs.
    pub used: BTreeMap<String, Vec<String>>,
    pub globs: Vec<Vec<String>>,
}

pub struct House {
    pub files: Vec<SourceFile>,
    /// By path below the crate; the crate itself is the empty path.
    pub modules: BTreeMap<Vec<String>, Module>,
}

impl House {
    /// Reads the sources of this project.
    pub fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let read = |path: PathBuf| {
            let name = path.strip_prefix(&src).expect("below src");
            let name = name.to_str().expect("sources have plain names").to_owned();
            (name, fs::read_to_string(path).expect("sources are UTF-8"))
        };
        Self::of(rust_files(&src).into_iter().map(read).collect())
    }

    /// Of files by their paths below `src`; `lib.rs` or `main.rs` is the root.
    pub fn of(texts: BTreeMap<String, String>) -> Self {
        let mut house = Self {
            files: Vec::new(),
            modules: BTreeMap::new(),
        };
        for root in ["lib.rs", "main.rs"] {
            house.enter(&texts, root, Vec::new());
        }
        house
    }

    /// Reads the file at `path`, which is the module `module`, and those that it declares.
    fn enter(&mut self, texts: &BTreeMap<String, String>, path: &str, module: Vec<String>) {
        let Some(text) = texts.get(path) else { return };
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{path}: {error}"));
        let items: Vec<Item> = parsed.items.into_iter().filter(is_built).collect();
        let mut words = Vec::new();
        items
            .iter()
            .for_each(|item| flatten(item.to_token_stream(), &mut words));
        let file = self.files.len();
        self.files.push(SourceFile {
            path: path.to_owned(),
            items: items.clone(),
            words,
        });
        self.enter_items(texts, file, &items, module);
    }

    fn enter_items(
        &mut self,
        texts: &BTreeMap<String, String>,
        file: usize,
        items: &[Item],
        path: Vec<String>,
    ) {
        let entry = self.modules.entry(path.clone()).or_default();
        entry.file = file;
        for item in items {
            if let Item::Use(used) = item {
                let mut leaves = Vec::new();
                spell_out(&used.tree, &mut Vec::new(), &mut leaves);
                for (name, leaf) in leaves {
                    match name {
                        Some(name) => drop(entry.used.insert(name, leaf)),
                        None => entry.globs.push(leaf),
                    }
                }
            } else if let Some(name) = name_of(item) {
                entry.defined.insert(name);
            }
            entry.defined.extend(made_types(item));
        }
        let modules = items.iter().filter_map(|item| match item {
            Item::Mod(module) => Some(module),
            _ => None,
        });
        for module in modules {
            self.enter_module(texts, file, module, &path);
        }
    }

    fn enter_module(
        &mut self,
        texts: &BTreeMap<String, String>,
        file: usize,
        module: &ItemMod,
        parent: &[String],
    ) {
        let mut path = parent.to_vec();
        path.push(module.ident.to_string());
        match &module.content {
            Some((_, items)) => {
                let items: Vec<Item> = items
                    .iter()
                    .filter(|item| is_built(item))
                    .cloned()
                    .collect();
                self.enter_items(texts, file, &items, path);
            }
            None => {
                let stem = path.join("/");
                for name in [format!("{stem}.rs"), format!("{stem}/mod.rs")] {
                    self.enter(texts, &name, path.clone());
                }
            }
        }
    }

    /// The files, other than itself, whose items the `n`th file names, and the line where it
    /// first does. What a module hands on (`pub use`) is what its users name, not what it
    /// names itself.
    pub fn names_of(&self, n: usize) -> BTreeMap<usize, usize> {
        let mut found = BTreeMap::new();
        for (path, module) in self.modules.iter().filter(|(_, module)| module.file == n) {
            let mut note = |target: Option<usize>, line| {
                if let Some(target) = target.filter(|target| *target != n) {
                    found.entry(target).or_insert(line);
                }
            };
            for (written, line) in self.taken(n, module) {
                note(self.find(path, &written, 0), line);
            }
        }
        found
    }

    /// The paths that a file writes out, in `use` and elsewhere, without what it hands on.
    fn taken(&self, n: usize, module: &Module) -> Vec<(Vec<String>, usize)> {
        let mut taken = Vec::new();
        for item in &self.files[n].items {
            taken.extend(uses(item, false));
            if matches!(item, Item::Use(_)) {
                continue;
            }
            let mut words = Vec::new();
            flatten(item.to_token_stream(), &mut words);
            taken.extend(paths(&words).into_iter().filter(|(path, _)| {
                path.len() > 1 && (ROOTS.contains(&&*path[0]) || self.knows(module, &path[0]))
            }));
        }
        taken
    }

    fn knows(&self, module: &Module, name: &str) -> bool {
        module.used.contains_key(name) || module.defined.contains(name)
    }

    /// The file that defines what `written` names, seen from the module `here`; nothing for
    /// what is not of this crate, and for a module as such.
    pub fn find(&self, here: &[String], written: &[String], depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut at = here.to_vec();
        let mut rest = written;
        match rest.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let module = self.modules.get(&at)?;
                if !self.knows(module, first) {
                    return None;
                }
            }
        }
        while let Some((name, after)) = rest.split_first() {
            let module = self.modules.get(&at)?;
            let mut child = at.clone();
            child.push(name.clone());
            if self.modules.contains_key(&child) {
                (at, rest) = (child, after);
                continue;
            }
            if module.defined.contains(name) {
                return Some(module.file);
            }
            if let Some(target) = module.used.get(name) {
                let whole: Vec<String> = target.iter().chain(after).cloned().collect();
                return self.find(&at, &whole, depth + 1);
            }
            let mut globs = module.globs.iter().map(|glob| {
                let whole: Vec<String> = glob.iter().chain(rest).cloned().collect();
                self.find(&at, &whole, depth + 1)
            });
            return globs.find_map(|found| found);
        }
        None
    }
}

/// How often a name may be handed on before it is taken for a loop.
const MAX_DEPTH: usize = 16;

/// What a path that is not of a `use` begins with.
const ROOTS: [&str; 3] = ["crate", "self", "super"];

/// All Rust files below `dir`.
pub fn rust_files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(dir).expect("sources can be read") {
        let path = entry.expect("sources can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path);
        }
    }
    files
}

/// Whether the program has this item, and not only its tests.
fn is_built(item: &Item) -> bool {
    !attributes(item).iter().any(|attribute| {
        let meta = attribute.meta.to_token_stream().to_string();
        meta.replace(' ', "") == "cfg(test)"
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The types that a macro is given to make, by `struct` or `enum` and a name.
pub fn made_types(item: &Item) -> Vec<String> {
    let Item::Macro(made) = item else {
        return Vec::new();
    };
    let mut words = Vec::new();
    flatten(made.mac.tokens.clone(), &mut words);
    let named = words.windows(2).filter_map(|pair| match &pair {
        [word, name] if is_name(name) && ["struct", "enum"].contains(&&*word.text) => {
            Some(name.text.clone())
        }
        _ => None,
    });
    named.collect()
}

/// The leaves of a `use`: the name that each has here, or none for a glob, and its path.
fn spell_out(
    tree: &UseTree,
    before: &mut Vec<String>,
    leaves: &mut Vec<(Option<String>, Vec<String>)>,
) {
    let mut leaf = |name: Option<&syn::Ident>, here: String| {
        let mut path = before.clone();
        // `use a::{self, b}` names `a`.
        if here != "self" || path.is_empty() {
            path.push(here);
        }
        let last = path.last().cloned();
        leaves.push((name.map(ToString::to_string).or(last), path));
    };
    match tree {
        UseTree::Name(name) => leaf(None, name.ident.to_string()),
        UseTree::Rename(name) => leaf(Some(&name.rename), name.ident.to_string()),
        UseTree::Glob(_) => leaves.push((None, before.clone())),
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            spell_out(&path.tree, before, leaves);
            before.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                spell_out(tree, before, leaves);
            }
        }
    }
}

/// The paths that an item takes by `use`, in whatever block, and their lines; handed on ones
/// only if `all`.
pub fn uses(item: &Item, all: bool) -> Vec<(Vec<String>, usize)> {
    struct Collector(bool, Vec<(Vec<String>, usize)>);
    impl<'ast> Visit<'ast> for Collector {
        fn visit_item_use(&mut self, used: &'ast ItemUse) {
            if self.0 || matches!(used.vis, Visibility::Inherited) {
                let mut leaves = Vec::new();
                spell_out(&used.tree, &mut Vec::new(), &mut leaves);
                let line = used.use_token.span.start().line;
                self.1
                    .extend(leaves.into_iter().map(|(_, leaf)| (leaf, line)));
            }
        }
    }
    let mut collector = Collector(all, Vec::new());
    collector.visit_item(item);
    collector.1
}

/// Texts and numbers are left out, and each bracket is a word.
fn flatten(tokens: TokenStream, words: &mut Vec<Word>) {
    let mut colon = false;
    for token in tokens {
        let line = token.span().start().line;
        let mut push = |text: String| words.push(Word { text, line });
        match token {
            TokenTree::Ident(name) => push(name.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == ':' && colon => {
                words.pop();
                words.push(Word {
                    text: "::".into(),
                    line,
                });
                colon = false;
                continue;
            }
            TokenTree::Punct(punct) => {
                colon = punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
                push(punct.as_char().to_string());
                continue;
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.into());
                flatten(group.stream(), words);
                words.push(Word {
                    text: close.into(),
                    line: group.span_close().start().line,
                });
            }
            TokenTree::Literal(_) => {}
        }
        colon = false;
    }
}

fn is_name(word: &Word) -> bool {
    word.text
        .starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// All paths (`a`, `a::b`, …) in a row of words, with their lines.
pub fn paths(words: &[Word]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if !is_name(&words[at]) {
            at += 1;
            continue;
        }
        let line = words[at].line;
        let mut path = vec![words[at].text.clone()];
        while words.get(at + 1).is_some_and(|word| word.text == "::")
            && words.get(at + 2).is_some_and(is_name)
        {
            at += 2;
            path.push(words[at].text.clone());
        }
        found.push((path, line));
        at += 1;
    }
    found
}
