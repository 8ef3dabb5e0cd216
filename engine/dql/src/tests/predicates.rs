use super::filter;
use crate::{Test, like_prefix};

#[test]
fn conjuncts_are_tests_of_a_field() {
    let filter = filter(
        "p.bed = 'A' AND 5 < height AND _id IN :ids AND care.light BETWEEN 1 AND :n AND retired IS MISSING \
         AND name LIKE 'B%' AND NOT (bed = 'C') AND lower(name) = 'x' AND a = b AND (x = 1 OR y = 2)"
            .replace("p.bed", "plants.bed")
            .as_str(),
    );
    let found: Vec<_> = filter
        .conjuncts()
        .iter()
        .map(|part| {
            part.predicate().map(|predicate| {
                let test = match predicate.test {
                    Test::Equal(value) => format!("= {value}"),
                    Test::NotEqual(value) => format!("!= {value}"),
                    Test::In(list) => format!("in {list}"),
                    Test::Range { low, high } => {
                        let show = |end: Option<crate::End<'_>>| {
                            end.map_or("*".to_owned(), |end| {
                                format!("{}{}", end.value, if end.included { "" } else { "!" })
                            })
                        };
                        format!("{}..{}", show(low), show(high))
                    }
                    Test::Like { pattern, .. } => format!("like {pattern}"),
                    Test::Null => "null".to_owned(),
                    Test::Missing => "missing".to_owned(),
                    Test::Boolean(value) => value.to_string(),
                };
                format!("{} {test}", predicate.path.join("."))
            })
        })
        .collect();
    let expected = [
        Some("bed = 'A'"),
        Some("height 5!..*"),
        Some("_id in :ids"),
        Some("care.light 1..:n"),
        Some("retired missing"),
        Some("name like 'B%'"),
        Some("bed != 'C'"),
        None,
        None,
        None,
    ];
    assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    assert_eq!(filter.conjuncts().last().unwrap().disjuncts().len(), 2);
}

#[test]
fn patterns_have_a_constant_prefix() {
    let table = [
        ("abc%", None, ("abc", false)),
        ("abc", None, ("abc", true)),
        ("a\\%b_", None, ("a%b", false)),
        ("a!_b", Some('!'), ("a_b", true)),
        ("%", None, ("", false)),
    ];
    for (pattern, escape, (prefix, whole)) in table {
        assert_eq!(like_prefix(pattern, escape), (prefix.to_owned(), whole), "{pattern}");
    }
}

#[test]
fn constants_have_no_row_in_them() {
    for (condition, constant) in [
        ("1 + :x > 2", true),
        ("clock() > 2", true),
        ("name = 'x'", false),
        ("request_info() IS NULL", false),
        ("ANY v IN [1] SATISFIES true END", true),
    ] {
        assert_eq!(filter(condition).is_constant(), constant, "{condition}");
    }
}

#[test]
fn names_of_parameters_are_filtered_by_pattern() {
    let pattern = |text: &str, ignore_case| crate::NamePattern { pattern: text.to_owned(), ignore_case };
    assert!(pattern("dql%", false).matches("dql_strict_mode"));
    assert!(!pattern("DQL%", false).matches("dql_strict_mode"));
    assert!(pattern("DQL%", true).matches("dql_strict_mode"));
}
