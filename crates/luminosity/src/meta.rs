//! Meta tags, Open Graph, Twitter cards and JSON-LD for the head of a page.
//!
//! Invariant: whatever the texts are, each tag stays one tag and each script one script.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Invalid;
use crate::text::{escape_html, escape_script};

/// What the head of a page says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageMeta {
    /// The title.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Words on it.
    pub keywords: Vec<String>,
    /// What robots may do, such as `noindex, nofollow`.
    pub robots: Option<String>,
    /// The page's own URL.
    pub canonical: Option<String>,
    /// The page in other languages: language and URL.
    pub alternates: Vec<crate::entry::Alternate>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Open Graph.
    #[serde(alias = "openGraph", alias = "og")]
    pub open_graph: Option<OpenGraph>,
    /// A Twitter card.
    pub twitter: Option<TwitterCard>,
    /// JSON-LD objects.
    #[serde(alias = "jsonLd")]
    pub json_ld: Vec<Value>,
}

/// How a page looks when it is shared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenGraph {
    /// Its title.
    pub title: Option<String>,
    /// `website`, `article`, `product`…
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its URL.
    pub url: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// The site's name.
    #[serde(alias = "siteName")]
    pub site_name: Option<String>,
    /// Such as `de_AT`.
    pub locale: Option<String>,
    /// Pictures.
    pub images: Vec<OpenGraphImage>,
}

/// A picture of a shared page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenGraphImage {
    /// Where it is.
    pub url: String,
    /// What it shows.
    pub alt: Option<String>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
}

/// How a page looks on Twitter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwitterCard {
    /// `summary`, `summary_large_image`, `app` or `player`; the first if not given.
    pub card: Option<String>,
    /// The site's account, with its `@`.
    pub site: Option<String>,
    /// The author's account, with its `@`.
    pub creator: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// A picture.
    pub image: Option<String>,
}

struct Tags(String);

impl Tags {
    fn tag(&mut self, attribute: &str, name: &str, content: &str) {
        self.0.push_str(&format!("<meta {attribute}=\"{name}\" content=\"{}\">\n", escape_html(content)));
    }

    fn optional(&mut self, attribute: &str, name: &str, content: &Option<String>) {
        if let Some(content) = content {
            self.tag(attribute, name, content);
        }
    }
}

impl PageMeta {
    /// Writes the tags for HTML.
    pub fn render(&self) -> String {
        let mut tags = Tags(String::new());
        if let Some(title) = &self.title {
            tags.0.push_str(&format!("<title>{}</title>\n", escape_html(title)));
        }
        tags.optional("name", "description", &self.description);
        if !self.keywords.is_empty() {
            tags.tag("name", "keywords", &self.keywords.join(", "));
        }
        tags.optional("name", "robots", &self.robots);
        tags.optional("name", "author", &self.author);
        if let Some(canonical) = &self.canonical {
            tags.0.push_str(&format!("<link rel=\"canonical\" href=\"{}\">\n", escape_html(canonical)));
        }
        for alternate in &self.alternates {
            tags.0.push_str(&format!(
                "<link rel=\"alternate\" hreflang=\"{}\" href=\"{}\">\n",
                escape_html(&alternate.lang),
                escape_html(&alternate.url)
            ));
        }
        if let Some(open_graph) = &self.open_graph {
            open_graph.render(&mut tags);
        }
        if let Some(twitter) = &self.twitter {
            twitter.render(&mut tags);
        }
        for value in &self.json_ld {
            tags.0.push_str(&json_ld_script(value));
            tags.0.push('\n');
        }
        tags.0
    }
}

impl OpenGraph {
    fn render(&self, tags: &mut Tags) {
        tags.optional("property", "og:title", &self.title);
        tags.tag("property", "og:type", self.kind.as_deref().unwrap_or("website"));
        tags.optional("property", "og:url", &self.url);
        tags.optional("property", "og:description", &self.description);
        tags.optional("property", "og:site_name", &self.site_name);
        tags.optional("property", "og:locale", &self.locale);
        for image in &self.images {
            tags.tag("property", "og:image", &image.url);
            tags.optional("property", "og:image:alt", &image.alt);
            tags.optional("property", "og:image:width", &image.width.map(|pixels| pixels.to_string()));
            tags.optional("property", "og:image:height", &image.height.map(|pixels| pixels.to_string()));
        }
    }
}

impl TwitterCard {
    fn render(&self, tags: &mut Tags) {
        tags.tag("name", "twitter:card", self.card.as_deref().unwrap_or("summary"));
        tags.optional("name", "twitter:site", &self.site);
        tags.optional("name", "twitter:creator", &self.creator);
        tags.optional("name", "twitter:title", &self.title);
        tags.optional("name", "twitter:description", &self.description);
        tags.optional("name", "twitter:image", &self.image);
    }
}

/// JSON-LD as a script for HTML.
pub fn json_ld_script(value: &Value) -> String {
    format!("<script type=\"application/ld+json\">{}</script>", escape_script(&value.to_string()))
}

/// Builds the JSON-LD of the kinds that search engines show.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonLd(Map<String, Value>);

impl JsonLd {
    /// An object of a schema.org type.
    pub fn new(kind: &str) -> Self {
        let mut map = Map::new();
        map.insert("@context".to_owned(), "https://schema.org".into());
        map.insert("@type".to_owned(), kind.into());
        Self(map)
    }

    /// Sets a property.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// A site, with its search if it has one: a URL with `{search_term_string}` in it.
    ///
    /// # Errors
    /// A search URL without the place for the words.
    pub fn website(name: &str, url: &str, search: Option<&str>) -> Result<Self, Invalid> {
        let site = Self::new("WebSite").with("name", name).with("url", url);
        let Some(search) = search else { return Ok(site) };
        if !search.contains("{search_term_string}") {
            return Err(Invalid::new("the search URL needs {search_term_string} where the words go"));
        }
        Ok(site.with(
            "potentialAction",
            json!({"@type": "SearchAction", "target": search, "query-input": "required name=search_term_string"}),
        ))
    }

    /// An organisation and its other pages.
    pub fn organization(name: &str, url: &str, logo: Option<&str>, same_as: &[&str]) -> Self {
        let mut found = Self::new("Organization").with("name", name).with("url", url);
        if let Some(logo) = logo {
            found = found.with("logo", logo);
        }
        if same_as.is_empty() { found } else { found.with("sameAs", same_as.to_vec()) }
    }

    /// An article.
    pub fn article(headline: &str, published: crate::moment::Moment, author: &str) -> Self {
        Self::new("Article")
            .with("headline", headline)
            .with("datePublished", published.to_string())
            .with("author", json!({"@type": "Person", "name": author}))
    }

    /// A product with its price.
    pub fn product(name: &str, price: &str, currency: &str) -> Self {
        Self::new("Product")
            .with("name", name)
            .with("offers", json!({"@type": "Offer", "price": price, "priceCurrency": currency}))
    }

    /// The way from the home page: names and URLs.
    pub fn breadcrumbs(way: &[(&str, &str)]) -> Self {
        let items: Vec<Value> = way
            .iter()
            .enumerate()
            .map(|(at, (name, url))| json!({"@type": "ListItem", "position": at + 1, "name": name, "item": url}))
            .collect();
        Self::new("BreadcrumbList").with("itemListElement", items)
    }

    /// Questions and answers.
    pub fn faq(questions: &[(&str, &str)]) -> Self {
        let items: Vec<Value> = questions
            .iter()
            .map(|(question, answer)| {
                json!({"@type": "Question", "name": question, "acceptedAnswer": {"@type": "Answer", "text": answer}})
            })
            .collect();
        Self::new("FAQPage").with("mainEntity", items)
    }

    /// As JSON.
    pub fn value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// As a script for HTML.
    pub fn script(&self) -> String {
        json_ld_script(&self.value())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_text_leaves_its_tag() {
        let evil = "\"><script>alert('x')</script>&";
        let text = || Some(evil.to_owned());
        let meta = PageMeta {
            title: text(),
            description: text(),
            canonical: text(),
            open_graph: Some(OpenGraph {
                title: text(),
                images: vec![OpenGraphImage { url: evil.to_owned(), ..Default::default() }],
                ..Default::default()
            }),
            twitter: Some(TwitterCard { title: text(), ..Default::default() }),
            json_ld: vec![JsonLd::article(evil, crate::moment::Moment::now(), evil).value()],
            ..PageMeta::default()
        };
        let html = meta.render();
        assert_eq!(html.matches("<script").count(), 1, "only the one of JSON-LD: {html}");
        // Each line is well-formed XML once its tag is closed, with the text in it.
        for line in html.lines() {
            let xml = if line.starts_with("<meta") || line.starts_with("<link") {
                line.replace("\">", "\"/>")
            } else {
                line.to_owned()
            };
            let document = roxmltree::Document::parse(&xml).unwrap();
            let root = document.root_element();
            let texts: Vec<_> = root.attributes().map(|a| a.value()).chain(root.text()).collect();
            let script =
                line.starts_with("<script") || line.contains("og:type") || line.contains("twitter:card");
            assert!(script || texts.contains(&evil), "{line}");
        }
    }

    #[test]
    fn json_ld_is_json_and_says_what_was_given() {
        let script =
            JsonLd::breadcrumbs(&[("Home", "https://example.com/"), ("</script>", "https://example.com/a")])
                .script();
        let json = script
            .strip_prefix("<script type=\"application/ld+json\">")
            .unwrap()
            .strip_suffix("</script>")
            .unwrap();
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["itemListElement"][1]["name"], "</script>");
        assert!(JsonLd::website("a", "b", Some("no place")).is_err());
    }
}
