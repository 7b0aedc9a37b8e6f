"""Common English words, and readings: a few of them in a row, without meaning.

The small world has few words. A codec that heard only those would know them and nothing else; so it also hears
people read words at random. A fifth of the words is only read in the test.
"""

import random

WORDS = tuple("""
able about above across act add afraid after again age ago agree air all allow almost alone along already also
always among anger animal answer any apple april area arm army around arrive art ask asleep august aunt autumn away
baby back bad bag ball band bank bar basket bath beach bear beautiful because become bed bee before begin behind
believe bell below beside best better between bicycle big bird birth black blood blow blue board boat body bone book
born both bottle bottom bowl box boy branch brave bread break breakfast bridge bright bring brother brown brush build
burn bus busy butter button buy cake call camera candle capital car card care carry castle cat catch chair chance
change cheap cheese cherry chicken child choice choose church circle city class clean clear climb clock close cloth
cloud coat coffee cold collect colour come common cook cool copy corn corner cost count country course cover cow
crowd cry cup cut daily dance danger dark daughter day deep desk dinner dirty doctor dog door double doubt down dream
dress drink drive drop dry duck during dust each ear early earth east easy eat edge egg empty end engine enjoy enough
enter evening every exam eye face fair fall false family famous far farm fast father favour fear feed feel few field
fight fill film find fine finger finish fire first fish flag flat floor flower fly fold follow food foot forest
forget fork form forward found fox free fresh friday friend frog from front fruit full funny game garden gate gentle
gift girl give glad glass goat gold good grass great green grey ground group grow guess hair half hall hand happy
hard hat head health hear heart heat heavy hello help hen here high hill hold hole holiday home honey hope horse hot
hotel hour house how hundred hungry hurry husband ice idea inside iron island jacket jam job join joke journey juice
july jump june just keep key kind king kiss kitchen knee knife knock know lady lake lamp land language large last
late laugh lazy leaf learn leave left leg lemon less letter library lie light like lion lip listen little live lock
long look lose lost loud love low lucky lunch make man many map march market master match may maybe meal mean measure
meat medicine meet melon middle milk mind minute mirror miss moment monday money monkey month moon morning mother
mountain mouse mouth move music nail name narrow near neck need needle neighbour never new news night noise north
nose nothing notice now nurse ocean office often oil old onion only open orange other outside owl page pain paint
pair paper parent park part party pass past path pay peace pear pen pencil people pepper perhaps phone photo piano
picture pig pilot pink place plant plate play please pocket police poor potato power present pretty price prince
pull purple push put queen question quick quiet rabbit rain raise reach read ready real red rest rice rich right ring
river road rock roof room rose round row rule run sad safe sail salt same sand saturday say school science sea season
seat second secret see seed sell send shake shape sharp sheep shelf ship shirt shoe shop short shoulder shout show
shut sick side silver simple sing sister sit size skin sky sleep slow small smell smile smoke snake snow soap sock
soft some son song soon sorry sound soup south space speak spell spend spoon sport spring square stamp stand star
start station stay steal stick still stone stop store storm story strange street strong student sugar summer sun
sunday sure surprise sweet swim table tail take talk tall taste tea teach team tear tell tent than thank theatre
their then there thick thin thing think thirsty this though thought throat through throw thumb thursday ticket tie
tiger time tired today together tomato tomorrow tongue tooth top touch towel tower town toy train travel tree trip
trouble true try tuesday turn under until use usual valley vegetable very village violin visit voice wait walk wall
want warm wash watch water wave way weak wear weather wednesday week welcome well west wet wheel where which while
white whole why wide wife wild win wind window wine wing winter wish with without woman wonder wood word work world
worry worth write wrong year yellow yes yesterday yet you young zoo
""".split())
TEST_WORDS = WORDS[::5]
TRAIN_WORDS = tuple(word for word in WORDS if word not in set(TEST_WORDS))


def reading(rng: random.Random, split: str) -> str:
    """Two to five words; split "train" or "test" decides which may be drawn."""
    return " ".join(rng.choices({"train": TRAIN_WORDS, "test": TEST_WORDS}[split], k=rng.randint(2, 5)))
