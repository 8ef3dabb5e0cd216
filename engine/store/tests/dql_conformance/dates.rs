//! Dates, times and durations (6.5).

use crate::table::{refuse, sample, value};

#[test]
fn the_worked_examples() {
    value(
        &sample(),
        &[
            ("date_cast('2031-05-14T06:45:12.250Z')", "1936507512250"),
            ("date_cast('14.05.2031', 'DD.MM.YYYY')", "1936483200000"),
            ("date_trunc('2031-05-14T06:45:12.250Z', 'day')", "'2031-05-14T00:00:00+00:00'"),
            ("date_trunc(1936507512250, 'day')", "1936483200000"),
            ("date_part('2031-05-14T06:45:12Z', 'weekday')", "3"),
            ("date_diff('2031-05-20T01:00:00Z', '2031-05-14T06:45:12Z', 'day')", "5"),
            ("duration_cast('1h30m')", "5400000"),
            ("date_part('2031-05-14', 'day')", "MISSING"),
        ],
    );
}

#[test]
fn parts_of_a_date() {
    let date = "'2031-05-14T06:45:12.250+02:00'";
    for (names, part) in [
        ("year", "2031"),
        ("month mon", "5"),
        ("day", "14"),
        ("hour", "6"),
        ("minute min", "45"),
        ("second sec", "12"),
        ("millisecond millis ms", "250"),
        ("weekday", "3"),
        ("monthname", "'May'"),
        ("week quarter dow doy", "MISSING"),
    ] {
        for name in names.split(' ') {
            value(&sample(), &[(&format!("date_part({date}, '{name}')"), part)]);
        }
    }
    value(
        &sample(),
        &[
            (&format!("date_part({date}, 'tz')"), "'+02:00'"),
            (&format!("date_part({date}, 'timezone')"), "'+02:00'"),
            ("date_part(0, 'year')", "1970"),
            ("date_part('2031-05-18T00:00:00Z', 'weekday')", "7"),
            (&format!("date_trunc({date}, 'month')"), "'2031-05-01T00:00:00+02:00'"),
            (&format!("date_trunc({date}, 'hour')"), "'2031-05-14T06:00:00+02:00'"),
            (&format!("date_trunc({date}, 'weekday')"), "MISSING"),
            (&format!("date_trunc({date}, 'week')"), "MISSING"),
        ],
    );
}

#[test]
fn text_in_gives_text_out_and_numbers_give_numbers() {
    value(
        &sample(),
        &[
            ("date_add('2031-01-31T00:00:00Z', 'month', 1)", "'2031-02-28T00:00:00+00:00'"),
            ("date_add('2028-02-29T00:00:00Z', 'year', 1)", "'2029-02-28T00:00:00+00:00'"),
            ("date_add(0, 'day', 1)", "86400000"),
            ("date_add(0, 'hour', -1)", "-3600000"),
            ("date_sub(86400000, 'day', 1)", "0"),
            ("date_sub('2031-05-14T06:45:12Z', 'ms', 1)", "'2031-05-14T06:45:11.999+00:00'"),
            ("date_add(0, 'day', 1, '')", "'1970-01-02T00:00:00+00:00'"),
            ("date_add(0, 'day', 1, 'YYYY-MM-DD')", "'1970-01-02'"),
            ("date_add(0, 'weekday', 1)", "MISSING"),
            ("date_add('day', '2031-05-14T06:45:12Z', 1)", "MISSING"),
            ("date_add('2031-05-14T06:45:12', 'day', 1)", "MISSING"),
            ("date_add('2031-05-14T06:45:12Z', 'day', 1.5)", "MISSING"),
            ("date_add(0, 'year', 9223372036854775807)", "MISSING"),
            ("date_add(0, 'ms', 9223372036854775807)", "MISSING"),
            ("date_sub(0, 'day', -9223372036854775808)", "MISSING"),
            ("date_diff('2031-05-14T00:00:00Z', '2031-05-20T01:00:00Z', 'day')", "-6"),
            ("date_diff('2031-05-14T00:00:00Z', '2030-06-14T00:00:00Z', 'month')", "11"),
            ("date_diff(3600000, 0, 'minute')", "60"),
            ("date_diff(0, 'x', 'minute')", "MISSING"),
            ("date_diff(null, 0, 'minute')", "null"),
            ("date_diff(nothing, 0, 'minute')", "MISSING"),
        ],
    );
}

#[test]
fn formats_are_tokens_or_strftime() {
    value(
        &sample(),
        &[
            ("date_format('2031-05-14T06:45:12.007Z', '')", "'2031-05-14T06:45:12.007+00:00'"),
            ("date_format(1936507512250, 'YYYY/MM/DD hh:mm:ss.sss')", "'2031/05/14 06:45:12.250'"),
            ("date_format('2031-05-14T06:45:12+02:00', 'hh:mm TZD')", "'06:45 +02:00'"),
            ("date_format('2031-05-14T06:45:12Z', '%Y-%m-%d')", "'2031-05-14'"),
            ("date_format('2031-05-14T06:45:12Z', 'hh:mm', 'Europe/Berlin')", "'08:45'"),
            ("date_format('2031-05-14T06:45:12Z', '', '+05:30')", "'2031-05-14T12:15:12+05:30'"),
            ("date_format('2031-05-14T06:45:12Z', '', 'Nowhere/Land')", "MISSING"),
            ("date_format('2031-05-14T06:45:12Z', 5)", "MISSING"),
            ("date_cast('2031-05-14 06:45', '%Y-%m-%d %H:%M')", "1936507500000"),
            ("date_cast('2031-05-14', 'YYYY-MM-DD')", "1936483200000"),
            ("date_cast('2031-05-14')", "MISSING"),
            ("date_cast('2031-05-14T00:00:00')", "MISSING"),
            ("date_cast('nonsense')", "MISSING"),
            ("date_cast('2031-13-14T00:00:00Z')", "MISSING"),
        ],
    );
}

#[test]
fn ranges_offsets_and_durations() {
    value(
        &sample(),
        &[
            ("date_range(0, 172800000, 'day', 1)", "[0,86400000]"),
            ("date_range(172800000, 0, 'day', -1)", "[172800000,86400000]"),
            ("date_range(0, 172800000, 'day', 0)", "MISSING"),
            ("date_range(0, 0, 'day', 1)", "[]"),
            ("date_range(0, 172800000, 'day', -1)", "[]"),
            (
                "date_range('2031-01-31T00:00:00Z', '2031-04-01T00:00:00Z', 'month', 1, 'MM-DD')",
                "['01-31','02-28','03-31']",
            ),
            ("date_range(0, 9223372036854775807, 'ms', 1)", "MISSING"),
            ("tz_offset('2031-05-14T06:45:12+02:00')", "120"),
            ("tz_offset('2031-05-14T06:45:12-00:30')", "-30"),
            ("tz_offset('Europe/Berlin', 'TZN')", "60"),
            ("tz_offset('2031-05-14T06:45:12')", "MISSING"),
            ("duration_cast('1s')", "1000"),
            ("duration_cast('90m')", "5400000"),
            ("duration_cast('90m', 'hour')", "1.5"),
            ("duration_cast('250ms')", "250"),
            ("duration_cast('x')", "MISSING"),
            ("duration_cast('')", "MISSING"),
            ("duration_format(5400000)", "'1h30m0s'"),
            ("duration_format(90, 'minute')", "'1h30m0s'"),
            ("duration_format('x')", "MISSING"),
        ],
    );
}

#[test]
fn one_statement_runs_at_one_moment() {
    value(
        &sample(),
        &[
            ("clock()", "1800000000000"),
            ("clock('')", "'2027-01-15T08:00:00+00:00'"),
            ("clock('YYYY')", "'2027'"),
            ("clock('hh:mm', 'Asia/Tokyo')", "'17:00'"),
            ("clock(5)", "MISSING"),
        ],
    );
    refuse(&sample(), &[("SELECT date_diff(1, 2) FROM plants", "semantics", "3 arguments")]);
}
