"""Public text for pre-training, read from the mirror, cleaned, and kept apart from
every reported test split.

A corpus is a list of documents; a document is a list of sentences (strings). Nothing
here is shipped: only the weights are.
"""

import gzip
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

# The text of a split that is measured on (dev or test, or the pool that few-shot
# samples are drawn from).
HELD_OUT = [
    ("SetFit/sst2", "text"),
    ("lansinuote/ChnSentiCorp", "text"),
    ("CLUEbenchmark/FewCLUE/eprstmt", "sentence"),
    ("fancyzhx/ag_news", "text"),
]

# group -> [(dataset, file stem, columns)]; the groups are mixed by tokens, see
# masked_lm.MIXTURE.
SOURCES = {
    "en_reviews": [
        ("stanfordnlp/imdb", "train", ["text"]),
        ("stanfordnlp/imdb", "unsupervised", ["text"]),
        ("nltk/movie_reviews", "train", ["text"]),
        ("yelp/sentences", "train", ["text"]),
        ("nltk/pros_cons", "train", ["text"]),
    ],
    "zh_reviews": [
        ("SophonPlus/online_shopping_10_cats", "train", ["text"]),
        ("CLUEbenchmark/FewCLUE/eprstmt", "unlabeled", ["sentence"]),
    ],
    "en_other": [
        ("tatoeba/eng", "train", ["text"]),
        ("gutenberg/childrens-literature", "train", ["text"]),
        ("wikimedia/wikipedia/20231101.en", "train", ["text"]),
    ],
    "zh_other": [
        ("tatoeba/cmn-eng", "train", ["zh"]),
        ("wikimedia/wikipedia/20231101.zh", "train", ["text"]),
        ("CLUEbenchmark/FewCLUE/tnews", "unlabeled", ["sentence"]),
    ],
}

# text collected later, all with a column `text`: group -> <dataset>/<file stem>
COLLECTED = {
    "en_reviews": """
        ccsasuke/fdu-mtl/train
        hsqmlzno1/HATN-amazon/train
    """,
    "zh_reviews": """
        bbublm/Douban-Movie-Review-Dataset/train
        yangheng95/ABSADatasets-zh/train
        LightRadiance/Douban-Spider/train
        JRsFly/jd_comment/train
        HobartWayne/Douban_movie_comments/train
        Beallhuang/chinese_sentiment/train
        czx1220/Emotional-analysis-of-Douban-movie-reviews/train
        Viper373/JD-comments/train
        Erutan-pku/NLPCC2013_Cross-Lingual/train
        qweraqq/NLPCC2014_sentiment/train
        YC-Coder-Chen/corpus_train/train
        yilifzf/BDCI_Car_2018/train
        weifengchenchen/jd-phone-analysis/train
        misc/zh_reviews2/train
        bigboNed3/chinese_text_cnn/train
        8024/Spider/train
        Craneagehu/mafengwo/train
        colinsongf/douban_reviews/train
        AyalaKaguya/WebSpider/train
        zhiliang-lin/public_opinion_data_analysis/train
        unikcc/DiaASQ/train
        MChen9/Douban_Reviews_Filter/train
        lamprose/jd-comment-analyse/train
        lingDXJ/public/train
        woaying/Douban_Review/train
        ILZFLNO02/Bilibili-comments/train
        lino546464/jd_comments/train
        ddd-ctrl/jd-comment/train
        liudashuai121/NLP_BISHE/taobao
        hz-wang/JD_comment_classification/train
        misc/zh_reviews3/train
        wawacode/jd_comment_crawl_and_analyse/train
        kalifung96/Douban-movie-review/train
        zjxi/JD_SentimentAnalysis/train
        handsomeWeiye/sanzhisongshu/train
        misc/zh_reviews/train
        robin-hlt/Chinese-Film-Comments/train
        skipmaple/Mitchell/train
        jamosnet/JD-comments-sentiment-analysis/train
        xianull0418/JD_comment_LDA/train
        heyueyuan/Movie-Comments/train
    """,
    "en_other": """
        BBC/news/train
        nltk/abc/train
        nishkalavallabhi/OneStopEnglish/train
    """,
    "zh_other": """
        fairytales/zh/train
        nlpdata/c3/train
        liuhuanyong/ChineseHumor/jokes
        lancopku/Chinese-Literature/train
        ymcui/cmrc2017/validation
        ZORO-Q/Chinese-Essays/train
        thu-coai/dialogues/train
        ymcui/cmrc2019/train
        shibing624/sighan2015/train
        DUT-Tjy/smp2020-weibo/train
        zpeng1989/WeiBo_SentimentAnalysis/train
        Gnomeek/weibo_senti/train
        liangyulong928/Chinese-Sentiment-Analysis/train
        liudashuai121/NLP_BISHE/weibo
        yidaxing/Chinese-sentiment-classfication/train
        CLUEbenchmark/CLUEmotionAnalysis2020/train
        lovezxm/weibo-sentiment-analysis/train
        jieyuwang/BERT_SMP2020-EWECT/train
        sirilanka/Weibo-Sentiment-Classification/train
        18860439729/ToSarcasm/train
        forever1986/weibo_senti/train
    """,
}
for group, names in COLLECTED.items():
    for name in names.split():
        dataset, _, stem = name.rpartition("/")
        SOURCES[group].append((dataset, stem, ["text"]))

_EN_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|<br\s*/?>|\n\s*\n")
_ZH_END = re.compile(r"(?<=[。！？!?；;，,~～])|[\n\s]+")


def mirror() -> Path:
    """The folder named by PROMPTTUNE_MIRROR; raises SystemExit with one sentence when
    it is not set."""
    folder = os.environ.get("PROMPTTUNE_MIRROR", "")
    if not Path(folder).is_dir() or not folder:
        raise SystemExit(
            "Pre-training reads public text: set PROMPTTUNE_MIRROR to a folder laid "
            "out by hub id (<org>/<name>/<split>.jsonl.gz)."
        )
    return Path(folder)


def read_rows(dataset: str, split: str) -> Iterator[dict]:
    """Rows of one split of the mirror, as dictionaries."""
    with gzip.open(
        mirror() / dataset / f"{split}.jsonl.gz", "rt", encoding="utf-8"
    ) as lines:
        yield from map(json.loads, lines)


def key(text: str) -> str:
    """A text without case, spaces and punctuation: equal keys are the same text for our
    purpose."""
    return re.sub(r"[\W_]+", "", text.lower())


def held_out_keys() -> set[str]:
    """Keys of every text that is measured on, and of each of its sentences of 30 or
    more characters (12 in Chinese)."""
    keys = set()
    for dataset, column in HELD_OUT:
        for path in sorted((mirror() / dataset).glob("*.jsonl.gz")):
            if path.name.startswith("unlabeled"):
                continue
            for row in read_rows(dataset, path.name.split(".")[0]):
                for piece in [
                    row[column],
                    *sentences(row[column], "zh"),
                    *sentences(row[column], "en"),
                ]:
                    k = key(piece)
                    if len(k) >= (12 if re.search("[一-鿿]", k) else 30):
                        keys.add(k)
    return keys


def sentences(text: str, language: str) -> list[str]:
    """Splits a text into sentences (English) or clauses (Chinese reviews often have
    commas only)."""
    text = html.unescape(text)
    parts = (_EN_END if language == "en" else _ZH_END).split(text)
    return [re.sub(r"\s+", " ", p).strip() for p in parts if p and p.strip()]


def documents(group: str, held_out: set[str]) -> Iterator[list[str]]:
    """The documents of a group; a document that shares a held-out sentence loses that
    sentence, an equal one is dropped."""
    language, seen = group[:2], set()
    for dataset, split, columns in SOURCES[group]:
        for row in read_rows(dataset, split):
            for column in columns:
                text = row[column]
                k = key(text)
                if k in held_out or k in seen or len(k) < 3:
                    continue
                seen.add(k)
                kept = [s for s in sentences(text, language) if key(s) not in held_out]
                if kept:
                    yield kept
