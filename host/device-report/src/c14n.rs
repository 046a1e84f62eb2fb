//! Canonical XML 1.1 of a whole document without comments, or of one of its elements with the
//! namespaces in scope, in the profile that [`crate::Rim`] accepts.
//!
//! Guarantees: in a document without DTD, comments, CDATA sections, processing instructions
//! and attributes of the `xml` namespace (see [`parse`]), the output is that of
//! Canonical XML 1.1.
//! Deliberately lacks: everything that those bring. The one crate that canonicalises in Rust
//! brings an XML parser of its own and its framework; with these left out, what remains is
//! the order of attributes and namespaces, and escapes.

use crate::fault::{Code, Fault};
use roxmltree::{Document, Node, NodeType, ParsingOptions};

/// Most nodes of a document.
const NODES_MAX: u32 = 20_000;

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 16;

/// Parses a document of the profile.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, Fault> {
    let malformed = |detail: String| Fault::new(Code::RimMalformed, detail);
    let body = text.strip_prefix("<?xml").unwrap_or(text);
    if let Some(found) = ["<!", "<?"].into_iter().find(|what| body.contains(what)) {
        return Err(malformed(format!(
            "{found} at byte {}: no DTD, comment, CDATA section or instruction is allowed",
            body.find(found).unwrap_or_default()
        )));
    }
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| malformed(format!("not XML: {error}")))?;
    let is_xml = |uri: Option<&str>| uri == Some(roxmltree::NS_XML_URI);
    for node in document.descendants() {
        if node.attributes().any(|attribute| is_xml(attribute.namespace())) {
            return Err(malformed("attributes of the xml namespace are not allowed".to_owned()));
        }
        if node.ancestors().nth(DEPTH_MAX + 1).is_some() {
            return Err(malformed(format!("nested deeper than {DEPTH_MAX}")));
        }
    }
    Ok(document)
}

/// The canonical form of `element` with all below it, but for `without`.
pub(crate) fn canonical(element: Node<'_, '_>, without: Option<Node<'_, '_>>) -> Vec<u8> {
    let mut out = String::new();
    write_element(&mut out, element, true, without);
    out.into_bytes()
}

/// The name as it stands in the text: parsing keeps the namespace and not the prefix.
fn qualified_name<'a>(element: Node<'a, '_>) -> &'a str {
    let text = &element.document().input_text()[element.range()][1..];
    let end = text.find([' ', '\t', '\r', '\n', '/', '>']).unwrap_or(text.len());
    &text[..end]
}

fn write_element(
    out: &mut String,
    node: Node<'_, '_>,
    is_apex: bool,
    without: Option<Node<'_, '_>>,
) {
    let name = qualified_name(node);
    out.push('<');
    out.push_str(name);
    // Namespaces that the parent does not have already, by prefix; the default first.
    let parent = node.parent_element().filter(|_| !is_apex);
    let is_inherited = |prefix: Option<&str>, uri: &str| {
        parent.is_some_and(|parent| parent.lookup_namespace_uri(prefix).unwrap_or("") == uri)
    };
    let mut namespaces: Vec<(&str, &str)> = node
        .namespaces()
        .filter(|namespace| namespace.name() != Some("xml"))
        .filter(|namespace| !is_inherited(namespace.name(), namespace.uri()))
        .filter(|namespace| parent.is_some() || !namespace.uri().is_empty())
        .map(|namespace| (namespace.name().unwrap_or(""), namespace.uri()))
        .collect();
    namespaces.sort_unstable();
    for (prefix, uri) in namespaces {
        out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        out.push_str(prefix);
        write_value(out, uri);
    }
    let text = node.document().input_text();
    let mut attributes: Vec<_> = node.attributes().collect();
    attributes
        .sort_unstable_by_key(|attribute| (attribute.namespace().unwrap_or(""), attribute.name()));
    for attribute in attributes {
        out.push(' ');
        out.push_str(&text[attribute.range_qname()]);
        write_value(out, attribute.value());
    }
    out.push('>');
    for child in node.children().filter(|child| Some(*child) != without) {
        match child.node_type() {
            NodeType::Element => write_element(out, child, false, without),
            NodeType::Text => write_text(out, child.text().unwrap_or("")),
            // `parse` has refused the rest.
            NodeType::Root | NodeType::PI | NodeType::Comment => {}
        }
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

fn write_value(out: &mut String, value: &str) {
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
    out.push('"');
}

fn write_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> String {
        let document = parse(text).unwrap();
        String::from_utf8(canonical(document.root_element(), None)).unwrap()
    }

    /// Sections 3.3 and 3.4 of Canonical XML 1.1, without what the profile refuses.
    #[test]
    fn the_forms_are_those_of_the_recommendation() {
        assert_eq!(
            form(
                "<?xml version=\"1.0\"?>\n<doc><e1   /><e3   name = \"elem3\"   id='x'   /></doc>"
            ),
            "<doc><e1></e1><e3 id=\"x\" name=\"elem3\"></e3></doc>"
        );
        assert_eq!(
            form(
                "<doc><e5 a:attr=\"out\" b:attr=\"sorted\" attr2=\"all\" attr=\"I'm\" \
                 xmlns:b=\"http://www.ietf.org\" xmlns:a=\"http://www.w3.org\" \
                 xmlns=\"http://example.org\"/><e6 xmlns=\"\" xmlns:a=\"http://www.w3.org\"><e7 \
                 xmlns=\"http://www.ietf.org\"><e8 xmlns=\"\" xmlns:a=\"http://www.w3.org\"/></e7>\
                 </e6></doc>"
            ),
            "<doc><e5 xmlns=\"http://example.org\" xmlns:a=\"http://www.w3.org\" \
             xmlns:b=\"http://www.ietf.org\" attr=\"I'm\" attr2=\"all\" b:attr=\"sorted\" \
             a:attr=\"out\"></e5><e6 xmlns:a=\"http://www.w3.org\"><e7 \
             xmlns=\"http://www.ietf.org\"><e8 xmlns=\"\"></e8></e7></e6></doc>"
        );
        assert_eq!(
            form("<t a='&#9;&#10;&quot;&lt;'>First&#x0d;&#10;<v>2 &gt; &amp; 1</v></t>"),
            "<t a=\"&#x9;&#xA;&quot;&lt;\">First&#xD;\n<v>2 &gt; &amp; 1</v></t>"
        );
    }

    #[test]
    fn what_the_profile_leaves_out_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(20), "</a>".repeat(20));
        let many = format!("<a>{}</a>", "<b/>".repeat(NODES_MAX as usize));
        for text in [
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
            "<a>&undefined;</a>",
            "<a><!-- c --></a>",
            "<a><![CDATA[x]]></a>",
            "<a><?pi x?></a>",
            "<a xml:id='x'/>",
            "<a",
            &deep,
            &many,
        ] {
            assert_eq!(parse(text).map(|_| ()).unwrap_err().code, Code::RimMalformed, "{text:.60}");
        }
    }
}
