//! Images in colour: read, trained on and shown.

use std::fs;
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, Rgba};
use npyz::WriterBuilder as _;
use npyz::npz::NpzWriter;
use ringfence_learning::data::{self, Channels, DataOptions, read_pictures};
use ringfence_learning::picture::Heading;
use ringfence_learning::{
    Classification, LearnError, ModelName, Sample, Segmentation, Task, TaskName, TrainOptions,
    Training, TrainingPlan, evaluate, picture,
};
use ringfence_weights::MeanStep;

use crate::folders::{medmnist, options};

fn colour() -> DataOptions {
    let mut options = options();
    options.imaging.channels = Channels::Colour;
    options
}

/// Two colours of one luma, up to the rounding to 8 bits.
const COLOURS: [[u8; 3]; 2] = [[200, 60, 40], [60, 101, 46]];

fn luma(pixel: [u8; 3]) -> f64 {
    0.2126 * f64::from(pixel[0]) + 0.7152 * f64::from(pixel[1]) + 0.0722 * f64::from(pixel[2])
}

/// A picture of dots of one colour on white, in another place for each number.
fn dots(number: usize, colour: [u8; 3]) -> DynamicImage {
    let place = |x: u32, y: u32| (x as usize + 3 * number) / 4 % 2 == (y as usize + number) / 4 % 2;
    let pixel = |x, y| Rgb(if place(x, y) { colour } else { [255; 3] });
    ImageBuffer::from_fn(16, 16, pixel).into()
}

/// A site whose classes differ by colour alone: there is every pattern in both.
fn stains() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "file,label,site,split\n".to_owned();
    for number in 0..36 {
        let (class, split) = (number % 2, ["train", "train", "test"][number / 2 % 3]);
        dots(number / 2, COLOURS[class]).save(folder.path().join(format!("{number}.png"))).unwrap();
        table += &format!("{number}.png,{},a,{split}\n", ["red", "green"][class]);
    }
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    folder
}

#[test]
fn a_model_of_colours_learns_what_grey_does_not_show() {
    assert!((luma(COLOURS[0]) - luma(COLOURS[1])).abs() < 1.0);
    let folder = stains();
    let accuracy = |options: &DataOptions| {
        let data = data::load(folder.path(), options).unwrap();
        let channels = options.imaging.channels.count();
        let task = Classification::light(16, &data.classes).unwrap();
        let task = task.with_channels(channels).unwrap();
        let site = &data.sites[0];
        assert_eq!(site.test[0].shape(), Some((channels, 16)));
        let start = task.initial_weights(1).unwrap();
        let options =
            TrainOptions { epochs: 30, ..TrainOptions::for_task(TaskName::Classification) };
        let training =
            Training { task: &task, start: &start, samples: &site.train, options: &options };
        let trained = training.run(&mut |_| ()).unwrap();
        evaluate(&task, &trained, &site.test).unwrap().get("accuracy").unwrap()
    };
    assert_eq!(accuracy(&colour()), 1.0);
    assert_eq!(accuracy(&options()), 0.5);
}

#[test]
fn formats_in_colour_give_their_channels_and_grey_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, image: &DynamicImage, format| {
        let path = folder.path().join(name);
        image.save_with_format(&path, format).unwrap();
        path
    };
    let halves = |x: u32| COLOURS[x as usize / 10];
    let eight = DynamicImage::from(ImageBuffer::from_fn(20, 8, |x, _| Rgb(halves(x))));
    let sixteen = DynamicImage::from(ImageBuffer::from_fn(20, 8, |x, _| {
        Rgb(halves(x).map(|value| u16::from(value) * 257))
    }));
    let alpha = DynamicImage::from(ImageBuffer::from_fn(20, 8, |x, _| {
        let [red, green, blue] = halves(x);
        Rgba([red, green, blue, 255])
    }));
    for (name, image, format, most) in [
        ("a.png", &eight, ImageFormat::Png, 1e-6),
        ("b.png", &sixteen, ImageFormat::Png, 1e-6),
        ("c.png", &alpha, ImageFormat::Png, 1e-6),
        ("d.tif", &eight, ImageFormat::Tiff, 1e-6),
        ("e.tif", &sixteen, ImageFormat::Tiff, 1e-6),
        ("f.jpg", &eight, ImageFormat::Jpeg, 0.05),
        ("g.gif", &alpha, ImageFormat::Gif, 0.05),
    ] {
        let path = save(name, image, format);
        let [read] = &read_pictures(&path, &colour()).unwrap()[..] else { panic!("{name}") };
        assert_eq!((read.width, read.height, read.values.len()), (20, 8, 480), "{name}");
        assert_eq!(read.sample.shape(), Some((3, 16)), "{name}");
        for (channel, values) in read.values.chunks_exact(160).enumerate() {
            // Away from the edge, which JPEG blurs.
            for (pixel, colour) in [(0, COLOURS[0]), (159, COLOURS[1])] {
                let expected = f32::from(colour[channel]) / 255.0;
                let found = values[pixel];
                assert!((found - expected).abs() < most, "{name} {channel}: {found}");
            }
        }
    }
    // Said to be colour and grey all over: that is a colour. Grey is refused.
    let even = DynamicImage::from(ImageBuffer::from_fn(20, 8, |x, _| Rgb([x as u8; 3])));
    read_pictures(&save("even.png", &even, ImageFormat::Png), &colour()).unwrap();
    let grey = DynamicImage::from(ImageBuffer::from_fn(16, 16, |x, _| Luma([x as u8])));
    for (name, format) in [("grey.png", ImageFormat::Png), ("grey.jpg", ImageFormat::Jpeg)] {
        let path = save(name, &grey, format);
        let error = read_pictures(&path, &colour()).unwrap_err().to_string();
        for text in [name, "expected an image in colour", "in grey", "--colour"] {
            assert!(error.contains(text), "{error}");
        }
    }
    let table = "file,label,site\na.png,0,s\nc.png,1,s\ngrey.png,1,s\n";
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    let error = data::load(folder.path(), &colour()).unwrap_err().to_string();
    assert!(error.contains("grey.png: expected an image in colour"), "{error}");
    assert_eq!(data::load(folder.path(), &options()).unwrap().sites.len(), 1);

    // A window means something in grey only.
    let mut windowed = colour();
    windowed.imaging.intensity = ringfence_imaging::Intensity::Window { center: 0.0, width: 1.0 };
    let error = read_pictures(&folder.path().join("a.png"), &windowed).unwrap_err().to_string();
    assert!(error.contains("a.png: option `window`: expected none"), "{error}");
}

/// As [`medmnist`], but image number `i` is all `[i, 255 - i, 7]`.
fn medmnist_in_colour(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("colour.npz");
    let mut file = NpzWriter::create(&path).unwrap();
    let stored = Default::default();
    for (split, count) in [("train", 120), ("val", 20), ("test", 40)] {
        let mut images = file
            .array(&format!("{split}_images"), stored)
            .unwrap()
            .default_dtype()
            .shape(&[count, 28, 28, 3])
            .begin_nd()
            .unwrap();
        let pixels = |i: u64| [i as u8, 255 - i as u8, 7].repeat(28 * 28);
        images.extend((0..count).flat_map(pixels)).unwrap();
        images.finish().unwrap();
        let name = format!("{split}_labels");
        let labels = file.array(&name, stored).unwrap().default_dtype().shape(&[count, 1]);
        let mut labels = labels.begin_nd().unwrap();
        labels.extend((0..count).map(|i| (i % 2) as u8)).unwrap();
        labels.finish().unwrap();
    }
    path
}

#[test]
fn medmnist_files_in_colour_are_read_in_colour_and_in_grey() {
    let folder = tempfile::tempdir().unwrap();
    let path = medmnist_in_colour(folder.path());
    let read = |options: DataOptions| {
        let options = DataOptions { side: 32, sites: Some(2), ..options };
        data::load(&path, &options).unwrap().sites.remove(0).test.remove(0)
    };
    let (seen, grey) = (read(colour()), read(options()));
    assert_eq!((seen.shape(), grey.shape()), (Some((3, 32)), Some((1, 32))));
    assert_eq!(seen.name, grey.name);
    let number: u8 = seen.name.rsplit('-').next().unwrap().parse().unwrap();
    let middle = 16 * 32 + 16;
    for (channel, value) in [number, 255 - number, 7].into_iter().enumerate() {
        let found = [0, middle].map(|pixel| seen.image[channel * 1024 + pixel]);
        assert_eq!(found, [0.0, f32::from(value) / 255.0]);
    }
    let expected = luma([number, 255 - number, 7]) / 255.0;
    assert!((f64::from(grey.image[middle]) - expected).abs() < 1e-6);

    let path = medmnist(folder.path(), 28, false);
    let error = data::load(&path, &colour()).unwrap_err().to_string();
    for text in ["small.npz: array `train_images`", "in colour [n, h, w, 3]", "[120, 28, 28]"] {
        assert!(error.contains(text), "{error}");
    }
}

fn plan(model: ModelName, channels: usize) -> TrainingPlan {
    let classes = match model.task() {
        TaskName::Segmentation => vec![],
        TaskName::Classification => ["well", "ill"].map(String::from).to_vec(),
    };
    TrainingPlan {
        task: model.task(),
        model,
        side: 32,
        channels,
        classes,
        rounds: 2,
        training: TrainOptions::for_task(model.task()),
        mean_step: MeanStep::Add,
        fine_tuning: None,
        personal: None,
    }
}

#[test]
fn a_plan_says_colour_and_one_from_before_is_grey() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for model in ModelName::ALL {
        let (grey, colour) = (plan(model, 1), plan(model, 3));
        let values = |plan: &TrainingPlan| plan.initial_weights().unwrap().len();
        // Two more kernels for each filter of the first layer: 3 x 3, or all pixels of the dense one.
        let (filters, kernel) = match model {
            ModelName::UnetLight | ModelName::CnnLight => (8, 9),
            ModelName::Unet | ModelName::Cnn | ModelName::Residual => (16, 9),
            ModelName::Dense => (64, 32 * 32),
        };
        assert_eq!(values(&colour) - values(&grey), 2 * filters * kernel, "{model}");
        colour.save(&colour.initial_weights().unwrap(), &path).unwrap();
        assert_eq!(TrainingPlan::load(&path).unwrap().0, colour);
        let names = |plan: &TrainingPlan| -> Vec<(String, String)> { plan.settings().unwrap() };
        let mut with_channels = names(&grey);
        with_channels.insert(0, ("channels".to_owned(), "3".to_owned()));
        assert_eq!(names(&colour), with_channels);
        // As plans were written before.
        let before = serde_json::to_string(&grey).unwrap();
        assert!(!before.contains("channels"), "{before}");
        assert_eq!(serde_json::from_str::<TrainingPlan>(&before).unwrap(), grey);
        for channels in [0, 2, 4] {
            let error = plan(model, channels).task().err().unwrap();
            assert!(matches!(&error, LearnError::Model(text) if text.contains("3 (colour)")));
        }
    }
    let data = data::load(stains().path(), &DataOptions { side: 32, ..options() }).unwrap();
    let in_colour = TrainingPlan { classes: data.classes.clone(), ..plan(ModelName::Cnn, 3) };
    let error = in_colour.check(&data).unwrap_err().to_string();
    assert!(error.contains("32 x 32 pixels in colour, found 32 x 32 pixels in grey"), "{error}");
}

#[test]
fn pictures_show_the_colours_and_folders_keep_them() {
    let folder = stains();
    let data = data::load(folder.path(), &colour()).unwrap();
    let mut sample = data.sites[0].test[0].clone();
    sample.mask = Some((0..256).map(|i| f32::from(i < 128)).collect());
    let task = Segmentation::light(16).unwrap().with_channels(3).unwrap();
    let weights = task.initial_weights(1).unwrap();
    let heading = Heading { title: "colours", object: "nucleus" };
    let samples = std::slice::from_ref(&sample);
    let sheet = picture::sheet(&task, heading, samples, &[("model", &weights)]);
    let class = &data.classes[sample.label.unwrap() as usize];
    let colour = COLOURS[usize::from(class == "green")];
    let count =
        |wanted: [u8; 3]| sheet.as_ref().unwrap().pixels().filter(|p| p.0 == wanted).count();
    // The image has them all, the truth those outside the mask.
    assert!(count(colour) >= 192 * 192 / 2, "{}", count(colour));

    let copy = tempfile::tempdir().unwrap();
    data::write_folder(&data, copy.path()).unwrap();
    let again = data::load(copy.path(), &self::colour()).unwrap();
    let image = |sample: &Sample| sample.image.clone();
    let first: Vec<_> = data.sites[0].train.iter().map(image).collect();
    assert_eq!(again.sites[0].train.iter().map(image).collect::<Vec<_>>(), first);
}
