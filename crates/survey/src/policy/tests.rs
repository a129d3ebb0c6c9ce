use isogloss_record::Seed;
use isogloss_stats::Rate;

use super::thresholds::DEFAULT;
use super::*;
use crate::measures::choice::{ItemOutcome, above_floor, choice};
use crate::measures::fidelity::{Continuation, fidelity};

/// `n_right` of `n` items with a gain each, beside a floor with `n_floor` right and no gain.
fn evidence(n_right: usize, n: usize, gain: f64, n_floor: usize) -> ChoiceEvidence {
    let item = |i: usize, n_right: usize, gain: f64| ItemOutcome {
        right: i < n_right,
        // A spread of ± .02, so that intervals are not points.
        gain: Some(gain + if i.is_multiple_of(2) { 0.02 } else { -0.02 }),
    };
    let items: Vec<ItemOutcome> = (0..n).map(|i| item(i, n_right, gain)).collect();
    let floor: Vec<ItemOutcome> = (0..n).map(|i| item(i + 1, n_floor + 1, 0.0)).collect();
    ChoiceEvidence {
        result: choice(&items, Some(&floor), Some(n as f64 / 4.0), Seed(1)).unwrap(),
        above_floor: above_floor(&items, &floor),
    }
}

fn stays(n_yes: usize, n: usize, reliability: Reliability) -> (FidelityResult, Reliability) {
    let texts: Vec<Continuation> = (0..n)
        .map(|i| Continuation {
            in_language: Some(i < n_yes),
            script_share: None,
            loops: false,
            verbatim: None,
        })
        .collect();
    (fidelity(&texts, reliability, &[]).unwrap(), reliability)
}

fn known() -> Reliability {
    let all = Rate { value: 1.0, n: 200 };
    Reliability::Measured {
        sensitivity: all,
        specificity: all,
    }
}

fn good() -> Evidence {
    Evidence {
        has_text: true,
        memorized: false,
        comprehension: Some(evidence(12, 12, 0.3, 3)),
        production: Some(evidence(12, 12, 0.3, 3)),
        lexicon: None,
        fidelity: Some(stays(4, 4, known())),
        n_looks: 2,
        n_registers: 1,
    }
}

fn verdict(evidence: Evidence) -> (Verdict, String) {
    let decision = decide(&[evidence], &Policy::shipped()).remove(0);
    (decision.verdict, decision.reason)
}

#[test]
fn the_shipped_policy_is_whole_and_edits_are_seen() {
    let policy = Policy::shipped();
    assert!(!policy.edited);
    assert_eq!(policy.stamp().thresholds["kappa"], 0.30);
    let edited = DEFAULT.replace("kappa = 0.30", "kappa = 0.20");
    assert!(Policy::parse("mine", &edited).unwrap().edited);
    let comment = format!("# mine\n{DEFAULT}");
    assert!(!Policy::parse("mine", &comment).unwrap().edited);
    for wrong in ["kappa = 2.0", "kappa = nan", "kapa = 0.2"] {
        let text = DEFAULT.replacen("kappa = 0.30", wrong, 1);
        assert!(Policy::parse("mine", &text).is_err(), "{wrong}");
    }
}

#[test]
fn served_needs_every_axis() {
    assert_eq!(verdict(good()).0, Verdict::Served);
    // 2 of 12 after 12: chance.
    let mut chance = good();
    chance.comprehension = Some(evidence(2, 12, 0.0, 3));
    let (line, reason) = verdict(chance);
    assert_eq!(line, Verdict::NotServed);
    assert!(reason.contains("chance"), "{reason}");
    // Seven of twelve, all of them by names.
    let mut names = good();
    names.comprehension = Some(evidence(9, 12, 0.0, 9));
    let (line, reason) = verdict(names);
    assert_eq!(line, Verdict::NotServed);
    assert!(reason.contains("names"), "{reason}");
    // Reads, does not write: production names the axis.
    let mut reader = good();
    reader.production = Some(evidence(3, 12, 0.0, 3));
    let (line, reason) = verdict(reader);
    assert_eq!(line, Verdict::Partly);
    assert!(reason.contains("production"), "{reason}");
    // 8 of 12: κ .56, its interval holds .30.
    let mut open = good();
    open.comprehension = Some(evidence(8, 12, 0.3, 2));
    assert_eq!(verdict(open).0, Verdict::CannotSay);
    // Little gain although all is right.
    let mut shallow = good();
    shallow.comprehension = Some(evidence(12, 12, 0.05, 3));
    let (line, reason) = verdict(shallow);
    assert_eq!(line, Verdict::Partly);
    assert!(reason.contains("shallow"), "{reason}");
}

/// As [`evidence`], with gains that are all over the place: half of them .3 off on either side.
fn noisy(n_right: usize, n: usize, n_floor: usize) -> ChoiceEvidence {
    let item = |i: usize, n_right: usize, spread: f64| ItemOutcome {
        right: i < n_right,
        gain: Some(if i.is_multiple_of(2) { spread } else { -spread }),
    };
    let items: Vec<ItemOutcome> = (0..n).map(|i| item(i, n_right, 0.3)).collect();
    let floor: Vec<ItemOutcome> = (0..n).map(|i| item(i, n_floor, 0.0)).collect();
    ChoiceEvidence {
        result: choice(&items, Some(&floor), None, Seed(1)).unwrap(),
        above_floor: above_floor(&items, &floor),
    }
}

#[test]
fn nothing_seen_is_no_difference_only_where_one_is_ruled_out() {
    let policy = Policy::shipped();
    // 4 of 8 beside 4 of 8 by names. G above the floor within ± .02: below .15, so not served.
    let sure = evidence(4, 8, 0.0, 4);
    assert_eq!(floor_standing(&sure, &policy), FloorStanding::At);
    assert_eq!(standing(&sure, &policy, 2), Standing::AtFloor);
    let mut served = good();
    served.comprehension = Some(sure);
    let (line, reason) = verdict(served);
    assert_eq!(line, Verdict::NotServed);
    assert!(reason.contains("G above it 0.00 ["), "{reason}");
    // The same answers with gains that may be .15 above the floor: more items, and no verdict.
    let open = noisy(4, 8, 4);
    let above = open.result.gain.unwrap().above_floor.unwrap();
    assert!(above.low < 0.0 && above.high > 0.15, "{above:?}");
    assert_eq!(floor_standing(&open, &policy), FloorStanding::Open);
    assert_eq!(standing(&open, &policy, 2), Standing::Straddles);
    let mut doubted = good();
    doubted.comprehension = Some(open);
    let (line, reason) = verdict(doubted);
    assert_eq!(line, Verdict::CannotSay);
    assert!(reason.contains("nor is a difference ruled out"), "{reason}");
    // 2 of 8, at chance: the same two ways.
    let chance = evidence(2, 8, 0.0, 2).result;
    assert!(is_at_chance(&chance, &policy) && chance.high > policy.thresholds.kappa);
    assert!(!is_at_chance(&noisy(2, 8, 2).result, &policy));
    // With enough items κ alone rules it out: 10 of 40 is κ 0 with an upper end of .21.
    let many = noisy(10, 40, 10);
    assert!(many.result.high < policy.thresholds.kappa);
    assert_eq!(standing(&many, &policy, 2), Standing::AtFloor);
}

#[test]
fn fidelity_decides_only_where_the_identifier_is_known() {
    let mut half = good();
    half.fidelity = Some(stays(3, 4, known()));
    assert_eq!(verdict(half).0, Verdict::Partly);
    let mut leaves = good();
    leaves.fidelity = Some(stays(1, 4, known()));
    assert_eq!(verdict(leaves).0, Verdict::NotServed);
    for reliability in [Reliability::Unmeasured, Reliability::Sisters] {
        let mut unknown = good();
        unknown.fidelity = Some(stays(0, 4, reliability));
        let (line, reason) = verdict(unknown);
        assert_eq!(line, Verdict::CannotSay);
        assert!(reason.contains("identifier"), "{reason}");
    }
}

#[test]
fn without_text_or_with_text_known_by_heart_nothing_is_said() {
    let mut odia = good();
    odia.has_text = false;
    let (line, reason) = verdict(odia);
    assert_eq!(line, Verdict::CannotSay);
    assert!(reason.contains("--text"), "{reason}");
    let mut by_heart = good();
    by_heart.memorized = true;
    let (line, reason) = verdict(by_heart);
    assert_eq!(line, Verdict::CannotSay);
    assert!(reason.contains("by heart"), "{reason}");
}

#[test]
fn one_register_is_provisional_and_two_are_not() {
    let policy = Policy::shipped();
    assert!(decide(&[good()], &policy)[0].provisional);
    let mut two = good();
    two.n_registers = 2;
    assert!(!decide(&[two], &policy)[0].provisional);
}

#[test]
fn many_languages_are_corrected_for() {
    let policy = Policy::shipped();
    // 11 of 12 has p = P(X ≥ 11 | .475) = 12 · .475¹¹ · .525 + .475¹² = .00188 (two looks: .0038).
    let mut edge = good();
    edge.comprehension = Some(evidence(11, 12, 0.3, 3));
    assert_eq!(verdict(edge.clone()).0, Verdict::Served);
    let mut chance = good();
    chance.production = Some(evidence(3, 12, 0.0, 3));
    // Among twenty languages at chance it needs q = .0038 · 21 = .079 ≤ .025: no longer.
    let mut many = vec![chance; 20];
    many.push(edge);
    assert_eq!(decide(&many, &policy)[20].verdict, Verdict::CannotSay);
}

#[test]
fn text_known_by_heart_makes_no_other_language_s_correction_milder() {
    let policy = Policy::shipped();
    let mut edge = good();
    edge.comprehension = Some(evidence(11, 12, 0.3, 3));
    let mut chance = good();
    chance.production = Some(evidence(3, 12, 0.0, 3));
    let mut by_heart = good();
    by_heart.memorized = true;
    // Three findings more would need q = .0038 · 24 / 4 = .023 ≤ .025 only.
    let mut many = vec![chance; 20];
    many.push(edge);
    many.extend(vec![by_heart; 3]);
    let decisions = decide(&many, &policy);
    assert_eq!(decisions[20].verdict, Verdict::CannotSay);
    assert!(
        decisions[21].reason.contains("by heart"),
        "{}",
        decisions[21].reason
    );
}

#[test]
fn the_stopping_rule_sees_floor_line_and_doubt() {
    let policy = Policy::shipped();
    assert_eq!(
        standing(&evidence(3, 12, 0.0, 3), &policy, 2),
        Standing::AtFloor
    );
    // 4 of 8: κ .33 reaches the line, p = .11: doubt, not the floor.
    assert_eq!(
        standing(&evidence(4, 8, 0.0, 0), &policy, 2),
        Standing::Straddles
    );
    assert_eq!(
        standing(&evidence(12, 12, 0.3, 3), &policy, 2),
        Standing::Clear
    );
    assert_eq!(
        standing(&evidence(8, 12, 0.3, 2), &policy, 2),
        Standing::Straddles
    );
}
