//! Tables as spreadsheets and people write them: read as they are meant, or refused in words.

use std::fs;
use std::path::Path;

use crate::folders::{folder, names, options, refused};
use ringfence_learning::data::{
    self, DataOptions, Dataset, LabelledFolder, MaskOptions, OneSite, Split,
};
use ringfence_learning::task::remarks;
use ringfence_learning::{Classification, ModelName, Task as _, TaskName};

/// Eight images of two patients at each of two sites, one of each class: what the table says in
/// commas, LF and plain UTF-8.
const PLAIN: &str = "file,label,site,patient,split\n\
    1.png,0,north,p1,train\n2.png,1,north,p1,train\n3.png,0,north,p2,test\n4.png,1,north,p2,test\n\
    5.png,0,süd,p3,train\n6.png,1,süd,p3,train\n7.png,0,süd,p4,test\n8.png,1,süd,p4,test\n";

fn load(folder: &Path) -> Dataset {
    data::load(folder, &options()).unwrap()
}

/// The plain table's data, read from another spelling of it.
fn rewritten(bytes: &[u8]) -> Dataset {
    let folder = folder(PLAIN);
    fs::write(folder.path().join("labels.csv"), bytes).unwrap();
    load(folder.path())
}

/// What this table is refused with.
fn refusal(table: &str) -> String {
    refused(folder(table).path(), &options())
}

#[test]
fn encodings_delimiters_quotes_and_blank_lines_change_nothing() {
    let plain = rewritten(PLAIN.as_bytes());
    assert_eq!(names(&plain), ["north", "süd"]);
    assert_eq!(plain.classes, ["0", "1"]);
    let (semicolons, tabs) = (PLAIN.replace(',', ";"), PLAIN.replace(',', "\t"));
    let quoted: String = PLAIN
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split(',').map(|field| format!("\"{field}\"")).collect();
            fields.join(", ").replace(", ", ",") + "\n"
        })
        .collect();
    let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{tabs}").encode_utf16().flat_map(unit).collect()
    };
    for (what, bytes) in [
        ("UTF-8 with its mark", format!("\u{feff}{PLAIN}").into_bytes()),
        ("UTF-16, as Excel's Unicode text", utf16(u16::to_le_bytes)),
        ("UTF-16, the other order", utf16(u16::to_be_bytes)),
        ("semicolons", semicolons.clone().into_bytes()),
        ("sep=", format!("sep=;\r\n{}", semicolons.replace('\n', "\r\n")).into_bytes()),
        ("tabs", tabs.clone().into_bytes()),
        ("CR LF", PLAIN.replace('\n', "\r\n").into_bytes()),
        ("CR", PLAIN.replace('\n', "\r").into_bytes()),
        ("quotes", quoted.into_bytes()),
        ("blank lines", PLAIN.replace('\n', "\n\n \n").into_bytes()),
        ("lines of delimiters", semicolons.replace('\n', "\n;;;;\n").into_bytes()),
        ("delimiters at the ends", semicolons.replace('\n', ";;\n").into_bytes()),
        ("spaces", PLAIN.replace(',', " , ").into_bytes()),
        ("no line end", PLAIN.trim_end().as_bytes().to_vec()),
    ] {
        assert_eq!(rewritten(&bytes), plain, "{what}");
    }
}

/// As Excel writes numbers of a column with decimals in German or French, pandas those of a column
/// with gaps, and people with leading zeros.
#[test]
fn one_number_is_one_class_however_it_is_written() {
    let plain = rewritten(PLAIN.as_bytes());
    let german = PLAIN.replace(',', ";").replace(";0;", ";0,0;").replace(";1;", ";1,0;");
    assert_eq!(rewritten(german.as_bytes()), plain);
    let mixed = PLAIN.replacen(",0,", ",0.0,", 2).replacen(",1,", ",01,", 1);
    assert_eq!(rewritten(mixed.as_bytes()), plain);
    let quoted = PLAIN.replace(",0,", ",\"0,0\",");
    let error = refusal(&quoted);
    assert!(
        error.contains("line 2, column `label`: expected a number with a decimal point"),
        "{error}"
    );
    // A study's classes are found by such numbers, too.
    let folder = folder(&PLAIN.replace(",0,", ",0.00,"));
    let classes = ["0", "1"].map(String::from).to_vec();
    let data = data::load(folder.path(), &DataOptions { classes, ..options() }).unwrap();
    assert_eq!(data.sites[0].train[0].label, Some(0));
}

#[test]
fn headers_are_known_by_their_letters() {
    let plain = rewritten(PLAIN.as_bytes());
    for header in [
        "File,Label,Site,Patient,Split",
        "FILE, label ,SITE,Patient_ID,SPLIT",
        "file,label,site,patientid,split",
        "file,label,site,Patient ID,split",
    ] {
        let table = PLAIN.replacen("file,label,site,patient,split", header, 1);
        assert_eq!(rewritten(table.as_bytes()), plain, "{header}");
    }
    let word = PLAIN.replace(",train", ",Train").replace(",test", ",TEST");
    assert_eq!(rewritten(word.as_bytes()), plain);
    // Known names decide between delimiters.
    let table = PLAIN.replace("site,", "a;b;c,").replace(",north", ",n;o;r");
    let folder = folder(&table.replace(",süd", ",s;u;d"));
    let one = DataOptions { sites: Some(1), ..options() };
    assert_eq!(data::load(folder.path(), &one).unwrap().unused_columns, ["a;b;c"]);
}

#[test]
fn misspelt_headers_are_refused_with_the_name_that_was_expected() {
    for (written, meant) in [
        ("Sites", "site"),
        ("stie", "site"),
        ("Hospital", "site"),
        ("pateint", "patient"),
        ("Patient Nr.", "patient"),
        ("splits", "split"),
    ] {
        let error = refusal(&PLAIN.replacen(meant, written, 1));
        let expected = format!("found a column `{written}` and none `{meant}`; call it `{meant}`");
        assert!(error.contains("labels.csv") && error.contains(&expected), "{error}");
    }
    let error = refusal(&PLAIN.replacen("split", "SITE", 1));
    assert!(error.contains("one column `site`, found `site` and `SITE`"), "{error}");
    let error = refusal(&PLAIN.replacen("file,", "bild,", 1));
    assert!(error.contains("expected a column `file`, found `bild`"), "{error}");
    assert!(error.contains("(parted by commas)"), "{error}");
}

#[test]
fn columns_that_mean_nothing_here_are_named() {
    let table: String = PLAIN
        .lines()
        .enumerate()
        .map(|(number, line)| match number {
            0 => format!(",{line},age,side,sites\n"),
            number => format!("{number},{line},61,left,two\n"),
        })
        .collect();
    let data = load(folder(&table).path());
    assert_eq!(data.unused_columns, ["", "age", "side", "sites"]);
    let task = Classification::new(ModelName::Dense, 16, &data.classes).unwrap();
    let said = "columns of the table that are not used: one without a name, age, side, sites";
    assert_eq!(remarks(&task, &data), [said]);
    assert_eq!(data.sites, rewritten(PLAIN.as_bytes()).sites);
    assert!(rewritten(PLAIN.as_bytes()).unused_columns.is_empty());
    let apart = DataOptions { ignore_split: true, ..options() };
    assert_eq!(data::load(folder(PLAIN).path(), &apart).unwrap().unused_columns, ["split"]);
}

#[test]
fn damaged_lines_are_refused_by_their_number() {
    let cases = [
        // A field too few, one too many, after blank lines.
        (PLAIN.replacen("\n4.png,1", "\n\n\r\n4.png", 1), "line 7: expected 5 fields"),
        (
            PLAIN.replacen("\n4.png,1", "\n4.png,1,1", 1),
            "line 5: expected 5 fields as in the first line, found 6",
        ),
        // A quote without end takes the rest of the table for one field.
        (
            PLAIN.replacen("p1,train\n3", "p1,\"train\n3", 1),
            "line 3: expected a quoted field to be closed",
        ),
        (
            PLAIN.replacen("p1,train\n3", "p1,\"train\n3", 1).replacen("p4,test", "p4,\"test", 1),
            "line 3: expected a quoted field",
        ),
        (
            PLAIN.replacen("north,", "\"nor\nth\",", 1),
            "line 2, column `site`: expected one line of text",
        ),
        (
            PLAIN.replacen(",1,", ",nan,", 1),
            "line 3, column `label`: expected a name, or an empty field",
        ),
        (PLAIN.replacen("p2", "#N/A", 1), "line 4, column `patient`"),
        (
            PLAIN.replacen("train", "training", 1),
            "line 2, column `split`: expected train, val, validation or test, found `training`",
        ),
    ];
    for (table, expected) in cases {
        let error = refusal(&table);
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(error.matches("labels.csv").count(), 1, "{error}");
    }
    let folder = folder(PLAIN);
    let latin: Vec<u8> =
        PLAIN.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    fs::write(folder.path().join("labels.csv"), latin).unwrap();
    let error = refused(folder.path(), &options());
    assert!(error.contains("another encoding in line 6; save the file as UTF-8"), "{error}");
}

#[test]
fn names_that_differ_in_spelling_only_are_refused_with_both() {
    for (first, second, column) in [
        ("well", "Well", "label"),
        ("not well", "not  well", "label"),
        ("north", "North", "site"),
        ("p1", "P1", "patient"),
        ("7", "7.0", "patient"),
        ("caf\u{e9}", "cafe\u{301}", "label"),
        ("STRASSE", "straße", "label"),
        ("covid-19", "COVID19", "label"),
        ("no_finding", "no finding", "label"),
        ("no-finding", "nofinding", "label"),
        ("T1\u{2013}w", "T1-w", "label"),
        ("0.5", ".50", "label"),
        // Cyrillic and Greek letters, what is not seen, a minus sign, apostrophes.
        ("covid", "\u{441}\u{43e}vid", "label"),
        ("COVID", "C\u{39f}VID", "label"),
        ("ill", "ill\u{200b}", "label"),
        ("north", "\u{feff}no\u{ad}rth", "site"),
        ("T1\u{2212}w", "T1-w", "label"),
        ("Crohn's", "Crohn\u{2019}s", "label"),
        ("1", "TRUE", "label"),
        ("0", "no", "label"),
        ("site_1", "Site 1", "site"),
        ("P-001", "P001", "patient"),
    ] {
        let fields = |name: &str| match column {
            "label" => format!("{name},a,q"),
            "site" => format!("x,{name},q"),
            _ => format!("x,a,{name}"),
        };
        let table = format!(
            "file,label,site,patient\n1.png,{}\n2.png,{}\n3.png,x,a,r\n",
            fields(first),
            fields(second)
        );
        let error = refusal(&table);
        let expected =
            format!("column `{column}`: `{first}` in line 2 and `{second}` in line 3 differ");
        assert!(error.contains(&expected), "{error}");
    }
    for (second, expected) in [
        ("0,ill", "label `0` is named `well` in line 2, and label `0` is named `ill` in line 3"),
        ("1,well", "label `0` is named `well` in line 2, and label `1` is named `well` in line 3"),
        ("0,Well", "column `label_name`: `well` in line 2 and `Well` in line 3 differ"),
    ] {
        let error = refusal(&format!("file,label,label_name\n1.png,0,well\n2.png,{second}\n"));
        assert!(error.contains(expected), "{error}");
    }
}

/// As programs write that nothing is known. A class of that name would be learnt.
#[test]
fn what_stands_for_nothing_is_no_name() {
    for nothing in ["NaN", "N/A", "NA", "none", "None", "null", "n.a.", "-", "?", "#N/A"] {
        for line in [format!("2.png,{nothing},a,q"), format!("2.png,x,a,{nothing}")] {
            let error = refusal(&format!("file,label,site,patient\n1.png,x,a,p\n{line}\n"));
            let said = format!("an empty field where there is none, found `{nothing}`");
            assert!(error.contains("line 3") && error.contains(&said), "{error}");
        }
    }
    for negative in ["-1", "-1.0", "-1e0", "-0.5"] {
        let error = refusal(&format!("file,label,site\n1.png,0,a\n2.png,{negative},a\n"));
        assert!(error.contains("line 3, column `label`: expected a class, or"), "{error}");
    }
    // Names of other letters or digits stay apart.
    let rows = ["1-12", "11-2", "112", "nan1", "nano", "normal", "1 12"].iter().enumerate();
    let rows = rows.map(|(number, label)| format!("{number}.png,{label},a\n"));
    let refused = refusal(&format!("file,label,site\n{}", rows.collect::<String>()));
    assert!(refused.contains("`1-12` in line 2 and `1 12` in line 8 differ"), "{refused}");
}

/// Without it a model in use would take the masks for images.
#[test]
fn a_table_in_capitals_is_not_passed_over() {
    let folder = folder(PLAIN);
    fs::rename(folder.path().join("labels.csv"), folder.path().join("Labels.CSV")).unwrap();
    let said = "Labels.CSV: expected the table to be called labels.csv, in small letters";
    let error = refused(folder.path(), &options());
    assert!(error.contains(said), "{error}");
    let error = LabelledFolder::read(folder.path(), TaskName::Segmentation, &options());
    assert!(error.unwrap_err().to_string().contains(said));
}

#[test]
fn options_for_masks_are_refused_where_no_row_names_one() {
    for mask in [
        MaskOptions { labels: vec![2], channel: None },
        MaskOptions { labels: Vec::new(), channel: Some(3) },
    ] {
        let error = refused(folder(PLAIN).path(), &DataOptions { mask, ..options() });
        assert!(error.contains("--mask-label and --mask-channel, which would change"), "{error}");
    }
}

/// Of the largest sites only one class is left: not the data are at fault.
#[test]
fn a_class_that_is_lost_with_its_sites_is_said_to_be() {
    let sites = [("a", 4, 0), ("b", 4, 0), ("c", 4, 0), ("d", 2, 1)];
    let rows = sites.iter().flat_map(|(site, images, label)| {
        (0..*images).map(move |number| format!("{site}{number}.png,{label},{site}\n"))
    });
    let folder = folder(&format!("file,label,site\n{}", rows.collect::<String>()));
    let data = data::load(folder.path(), &DataOptions { sites: Some(3), ..options() }).unwrap();
    let task = Classification::new(ModelName::Dense, 16, &data.classes).unwrap();
    let error = task.check(&data).unwrap_err().to_string();
    let said =
        "others take no part: 2 images (site `d`): smaller than the 3 largest sites (--sites)";
    assert!(error.contains(said), "{error}");
}

/// A class that is misspelt shows before anything is trained.
#[test]
fn a_site_is_summed_up_with_its_classes() {
    let data = rewritten(PLAIN.replace(",1,", ",ill,").as_bytes());
    let said = data.sites[0].summary(&data.classes);
    assert_eq!(said, "   2 training,   0 validation,   2 test images, 2 `0`, 2 `ill`");
    let folder = folder(&PLAIN.replacen(",1,", ",,", 1));
    let data = load(folder.path());
    let said = data.sites[0].summary(&data.classes);
    assert!(said.ends_with(", 2 `0`, 1 `1`, 1 without a class"), "{said}");
    assert!(!data.sites[0].summary(&[]).contains('`'));
}

#[test]
fn a_class_that_has_a_name_is_found_by_it_and_never_by_its_number() {
    let table = "file,label,label_name,patient\n1.png,1,well,p\n2.png,0,ill,q\n";
    let with = |classes: [&str; 2]| {
        let classes = classes.map(String::from).to_vec();
        let options = DataOptions { classes, sites: Some(1), ..options() };
        data::load(folder(table).path(), &options).map_err(|error| error.to_string())
    };
    let data = with(["well", "ill"]).unwrap();
    let labels = |name: &str| {
        let mut samples = data.sites[0].samples();
        samples.find(|(_, sample)| sample.name == name).unwrap().1.label
    };
    assert_eq!((labels("1.png"), labels("2.png")), (Some(0), Some(1)));
    // By its number `ill` would be healthy.
    let error = with(["healthy", "ill"]).unwrap_err();
    assert!(error.contains("classes `healthy`, `ill`, found `well`"), "{error}");
}

/// Which of two hospitals counts `covid` as 0 nobody can tell: taken by its place in the study's list
/// each number would be some class, and half of the labels may be swapped.
#[test]
fn numbers_are_no_names_of_a_studys_classes_unless_these_are_numbers() {
    let with = |table: &str, classes: &[&str]| {
        let classes = classes.iter().map(ToString::to_string).collect();
        let options = DataOptions { classes, sites: Some(1), ..options() };
        let data = data::load(folder(table).path(), &options);
        data.map_err(|error| error.to_string()).map(|data| {
            let mut samples: Vec<_> = data.sites[0].samples().map(|(_, sample)| sample).collect();
            samples.sort_by(|one, other| one.name.cmp(&other.name));
            samples.iter().map(|sample| sample.label.unwrap()).collect::<Vec<_>>()
        })
    };
    let numbers = "file,label,patient\n1.png,1,p\n2.png,0,q\n";
    let error = with(numbers, &["covid", "normal"]).unwrap_err();
    for said in [
        "labels.csv: line 2, column `label`: expected the name of one of the study's classes",
        "`covid`, `normal`, found the number 1",
        "in a column `label_name`",
    ] {
        assert!(error.contains(said), "{error}, expected {said}");
    }
    // One line without its name is enough.
    let partly = "file,label,label_name,patient\n1.png,1,normal,p\n2.png,0,,q\n";
    let error = with(partly, &["covid", "normal"]).unwrap_err();
    assert!(error.contains("line 3") && error.contains("found the number 0"), "{error}");
    let named = "file,label,label_name,patient\n1.png,0,normal,p\n2.png,1,covid,q\n";
    assert_eq!(with(named, &["covid", "normal"]).unwrap(), [1, 0]);
    // Numbers are the names of classes that are numbers, whatever their order.
    assert_eq!(with(numbers, &["0", "1"]).unwrap(), [1, 0]);
    assert_eq!(with(numbers, &["1", "0"]).unwrap(), [0, 1]);
    let error = with(numbers, &["1", "2"]).unwrap_err();
    assert!(error.contains("classes `1`, `2`, found `0`; write a class's name"), "{error}");
}

#[test]
fn one_image_in_two_lines_is_refused_however_its_path_is_spelt() {
    let table = |second: &str| {
        format!(
            "file,label,site,patient,split\n1.png,0,a,p,train\n2.png,1,a,p,train\n{second}\n3.png,1,a,q,test\n"
        )
    };
    for (second, differs) in [
        ("1.png,1,a,p,train", "`1.png` in line 4 are one image with two labels;"),
        ("1.png,0,a,p,train", "`1.png` in line 4 are one image;"),
        ("./1.png,0,a,r,test", "`./1.png` in line 4 are one image in two splits;"),
        ("x/..//1.png,0,a,r,test", "`x/..//1.png` in line 4 are one image in two splits;"),
        ("1.png,0,b,r,train", "`1.png` in line 4 are one image at two sites;"),
        ("link.png,0,a,r,train", "`link.png` in line 4 are one image;"),
    ] {
        let folder = folder(&table("4.png,0,a,p,train"));
        fs::create_dir(folder.path().join("x")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("1.png", folder.path().join("link.png")).unwrap();
        fs::write(folder.path().join("labels.csv"), table(second)).unwrap();
        let error = refused(folder.path(), &options());
        assert!(error.contains("`1.png` in line 2 and ") && error.contains(differs), "{error}");
    }
    let folder = folder("file,mask\n1.png,m.png\n2.png,./2.png\n");
    let error = refused(folder.path(), &options());
    assert!(error.contains("line 3: expected a picture of what is to be segmented"), "{error}");
}

#[test]
fn a_patient_in_two_splits_or_at_two_sites_is_refused_and_the_way_on_said() {
    let error = refusal(&PLAIN.replace("p3,train", "p1,train"));
    assert!(error.contains("patient `p1` is at `north` (line 2) and at `süd` (line 6)"), "{error}");
    assert!(error.contains("call them `north:p1` and `süd:p1` if they are two"), "{error}");
    let apart = PLAIN.replace("p3,train", "p1,train").replace("süd,p1", "süd,süd:p1");
    assert_eq!(load(folder(&apart).path()).sites.len(), 2);
    let error = refusal(&PLAIN.replace("p2,test", "p1,test"));
    assert!(
        error.contains("patient `p1` is in `train` (line 2) and in `test` (line 4)"),
        "{error}"
    );
    assert!(error.contains("--ignore-split"), "{error}");
}

#[test]
fn one_site_is_read_alone_and_others_never_in_silence() {
    let folder = folder(PLAIN);
    // The other site's image is not even opened.
    fs::write(folder.path().join("5.png"), "damaged").unwrap();
    let with = |site| {
        let options = DataOptions { one_site: Some(site), ..options() };
        data::load(folder.path(), &options).map_err(|error| error.to_string())
    };
    let error = with(OneSite::Only).unwrap_err();
    assert!(error.contains("found those of `north`, `süd`; say which"), "{error}");
    let error = with(OneSite::Named("Nord".into())).unwrap_err();
    assert!(error.contains("sites `north`, `süd`, got --data-site Nord"), "{error}");
    let north = with(OneSite::Named("north".into())).unwrap();
    assert_eq!(names(&north), ["north"]);
    assert!(north.left_out.is_empty());
    let unnamed = PLAIN.replace(",north,", ",").replace(",süd,", ",").replacen("site,", "", 1);
    let unnamed = crate::folders::folder(&unnamed);
    let options = DataOptions { one_site: Some(OneSite::Only), ..options() };
    let whole = data::load(unnamed.path(), &options).unwrap();
    assert_eq!((whole.sites.len(), whole.sites[0].split(Split::Test).len()), (1, 4));
}

#[test]
fn data_that_name_more_sites_than_at_least_asked_for_keep_them() {
    let folder = folder(&crate::folders::table(&[("a", 4, 1), ("b", 4, 1), ("c", 4, 1)]));
    let at_least = |least_sites| {
        let data = data::load(folder.path(), &DataOptions { least_sites, ..options() }).unwrap();
        names(&data).join(" ")
    };
    assert_eq!(at_least(1), "a b c");
    assert_eq!(at_least(3), "a b c");
    assert_eq!(at_least(4), "a-1 a-2 b c");
}
